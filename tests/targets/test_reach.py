from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets import Reach, Target, load_target
from targets.errors import UsageError
from targets.ssh import Ssh
from targets.transport import Output

HOST = {k: v for k, v in load_target("host").to_json().items() if k != "reach"}


def with_reach(**reach: object) -> Target:
    return Target.from_json({**HOST, "reach": reach}, "my.toml")


@pytest.mark.parametrize(
    ("reach", "message"),
    [
        ({"transport": "shh"}, "unknown transport 'shh'; known: adb, local, ssh .did you mean 'ssh'"),
        ({"transport": "ssh"}, "needs host"),
        ({"transport": "ssh", "hots": "a"}, "unknown key 'hots'.*did you mean 'host'"),
        ({"transport": "ssh", "host": "-oProxyCommand=reboot"}, "must not begin with '-'"),
        ({"transport": "ssh", "host": "a b"}, "must not hold spaces"),
        ({"transport": "ssh", "host": "a\nb"}, "line ends"),
        ({"transport": "ssh", "host": "a", "known_hosts": '/a" -o "b'}, "quotes"),
        ({"transport": "ssh", "host": "a", "port": "22"}, "port must be a whole number"),
        ({"transport": "ssh", "host": "a", "port": 65536}, "port must lie in 0 to 65535"),
        ({"transport": "ssh", "host": "a", "connect_timeout_s": 0}, "connect_timeout_s in 1 to 600"),
        ({"transport": "ssh", "host": "a", "runner": "x"}, "'ssh' has no use for runner"),
        ({"transport": "local", "host": "a", "user": "b"}, "'local' has no use for host, user"),
        ({"transport": "adb", "python": "python3"}, "'adb' has no use for python"),
    ],
)
def test_wrong_addresses_name_the_place_and_what_is_allowed(reach: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=rf"^my\.toml: .*{message}"):
        with_reach(**reach)


def test_reach_must_be_a_table() -> None:
    with pytest.raises(UsageError, match=r"my\.toml: reach must be a table of fields, got str"):
        Target.from_json({**HOST, "reach": "ssh"}, "my.toml")


@pytest.mark.slow
@given(
    st.builds(
        lambda host, user, port: Reach(transport="ssh", host=host, user=user, port=port),
        st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True),
        st.from_regex(r"[a-z][a-z0-9]{0,8}|", fullmatch=True),
        st.integers(0, 65535),
    )
)
def test_json_and_back(reach: Reach) -> None:
    target = with_reach(transport="ssh", host=reach.host, user=reach.user, port=reach.port)
    assert target.reach == reach
    assert Target.from_json(target.to_json()) == target


def test_ssh_never_asks_and_never_accepts() -> None:
    reach = Reach(
        transport="ssh", host="board", user="pi", port=2222, known_hosts="/my keys/known", identity="/k"
    )
    words = Ssh("t", reach).wrap(["python3", "-c", "print('a b')", "$(reboot)"])
    assert words[0] == "ssh"
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", 'UserKnownHostsFile="/my keys/known"'):
        assert words[words.index(option) - 1] == "-o"
    assert words[-3:] == ["--", "board", """python3 -c 'print('"'"'a b'"'"')' '$(reboot)'"""]


@pytest.mark.parametrize(
    ("said", "kind", "advice"),
    [
        ("pi@board: Permission denied (publickey).", "TargetError", "ssh-copy-id pi@board:2222"),
        ("Host key verification failed.", "TargetError", "ssh-keygen -R board"),
        (
            "ssh: connect to host board port 2222: Connection refused",
            "ConnectionLostError",
            "Is it switched on",
        ),
        ("Connection to board closed by remote host.", "ConnectionLostError", "cannot be reached"),
        ("client_loop: send disconnect: Broken pipe", "ConnectionLostError", "cannot be reached"),
        ("Timeout, server board not responding.", "ConnectionLostError", "cannot be reached"),
        ("", "ConnectionLostError", "it ended with code 255"),
    ],
)
def test_what_ssh_says_and_what_it_means(said: str, kind: str, advice: str) -> None:
    ssh = Ssh("t", Reach(transport="ssh", host="board", user="pi", port=2222))
    fault = ssh.fault(Output(255, b"", said))
    assert type(fault).__name__ == kind
    assert advice in str(fault)
    assert ssh.fault(Output(1, b"", said)) is None  # the command's own failure
