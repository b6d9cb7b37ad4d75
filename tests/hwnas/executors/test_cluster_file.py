"""What `--cluster` takes, and how it refuses the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.executors.cluster_file import Cluster, find_cluster
from targets.errors import UsageError


def test_an_address_with_tls_and_one_of_this_machine() -> None:
    assert find_cluster("tls://gpu-box:8786") == Cluster(address="tls://gpu-box:8786")
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert find_cluster(f"tcp://{host}:8786").address == f"tcp://{host}:8786"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tcp://gpu-box:8786", r"tcp://gpu-box:8786 is not encrypted.*give tls://gpu-box:8786"),
        ("tcp://127.0.0.1.evil.org:8786", "not encrypted"),
        ("tcp://0.0.0.0:8786", "not encrypted"),
        ("gpu-box:8786", "no address of a Dask scheduler; allowed: tls://HOST:PORT"),
        ("tls://gpu-box", "no address of a Dask scheduler"),
        ("tls://gpu-box:port", "no address of a Dask scheduler"),
        ("inproc://127.0.0.1:1", "no address of a Dask scheduler"),
        ("", "no address of a Dask scheduler"),
        ("absent.toml", "cluster absent.toml does not exist"),
    ],
)
def test_any_other_text_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        find_cluster(text)


def test_a_file_names_its_certificates_beside_it(tmp_path: Path) -> None:
    for name in ("ca.pem", "me.pem", "me.key"):
        (tmp_path / name).write_text("")
    (tmp_path / "c.toml").write_text(
        'address = "tls://box:8786"\nresources = { GPU = 1 }\n[tls]\nca = "ca.pem"\ncert = "me.pem"\n'
        'key = "me.key"\n[paths]\n"/home/me" = "/mnt/me"\n'
    )
    cluster = find_cluster(str(tmp_path / "c.toml"))
    assert cluster.tls is not None and cluster.tls.key == str(tmp_path / "me.key")
    assert cluster.resources == {"GPU": 1.0} and cluster.paths == {"/home/me": "/mnt/me"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('adress = "tls://a:1"', r"unknown key 'adress'.*did you mean 'address'"),
        ('kind = "slrum"', r"c\.toml: unknown kind 'slrum'.*did you mean 'slurm'"),
        ('kind = "local"\nworkers = 0', "workers is 0; a cluster needs one"),
        ("workers = true", "workers must be a whole number"),
        ("workers = -1", "workers is -1; allowed: 0 to 10,000"),
        ("wait_s = 0", "wait_s is 0; allowed: above 0"),
        ('resources = { GPU = "one" }', "resources.GPU must be a finite number"),
        ("resources = { GPU = -1 }", "resources.GPU is -1; allowed: above 0"),
        ("paths = { a = 1 }", "paths.a must be text"),
        ('[tls]\nca = "ca.pem"', r"\[tls\] needs ca, cert and key, each a PEM file; got ca"),
        ('[tls]\nca = "a"\ncert = "b"\nkey = "c"', "tls.ca: .* does not exist"),
        ('kind = "local"\naddress = "tls://a:1"', "starts a scheduler itself; leave address away"),
        (
            'address = "tls://a:1"\n[slurm]\nqueue = "gpu"',
            r"kind 'address' has no use for slurm; remove it, or set kind = 'slurm'$",
        ),
        (
            'address = "tls://a:1"\nworkers = 4',
            r"kind 'address' has no use for workers; remove it, or set kind = 'local' or 'slurm'$",
        ),
        ('kind = "local"\n[ssh]\nhosts = ["a", "b"]', "kind 'local' has no use for ssh; .* kind = 'ssh'$"),
        ('kind = "ssh"\nworkers = 3\n[ssh]\nhosts = ["a", "b"]', "kind 'ssh' has no use for workers"),
        ('kind = "ssh"', r"kind 'ssh' needs a table \[ssh\] with hosts"),
        ('kind = "ssh"\n[ssh]\nhosts = ["a"]', "ssh.hosts must be a list of two or more names"),
        ('kind = "ssh"\n[ssh]\nhosts = "a"', "ssh.hosts must be a list of two or more names.*got 'a'"),
        ('kind = "ssh"\n[ssh]\nhosts = ["a", 1]', "ssh.hosts must be a list"),
        ('kind = "ssh"\n[ssh]\nhost = ["a"]', "unknown key 'host'; .*did you mean 'hosts'"),
        ('kind = "ssh"\n[ssh]\nhosts = ["a", "b"]', r"kind ssh needs \[tls\] with ca, cert and key"),
        ('kind = "slurm"', r"kind slurm needs \[tls\] with ca, cert and key"),
        ('kind = "address"', "no address of a Dask scheduler"),
        ("kind = ", "is no TOML"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(UsageError, match=says):
        find_cluster(str(tmp_path / "c.toml"))
