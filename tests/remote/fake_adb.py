"""In place of adb: the sub-commands that hwnas uses, on a folder instead of a device, and its ways to fail.

FAKE_DEVICE: a folder with `states` (lines `SERIAL<tab>STATE`), `root` (/data/local/tmp on the device), `bin`
(its programs), perhaps `lose` (after how many shell calls the device goes away), `silent` (and so
without a word, and from the list too), `full` (no space).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(os.environ["FAKE_DEVICE"])


def fail(text: str, code: int = 1) -> None:
    print(text, file=sys.stderr)
    sys.exit(code)


def main(words: list[str]) -> None:
    states = dict(line.split("\t") for line in (HOME / "states").read_text().splitlines())
    if words == ["devices"]:
        print("List of devices attached")
        for serial, state in states.items():
            print(f"{serial}\t{state}")
        print()
        return
    if words[0] != "-s" or len(words) < 3:
        fail("adb: this stand-in is always told which device")
    serial, command, *rest = words[1:]
    if serial not in states:
        fail(f"adb: device '{serial}' not found")
    if states[serial] != "device":
        fail(f"adb: device {states[serial]}.")
    if command == "get-state":
        print("device")
    elif command == "push":
        push(*rest)
    elif command == "shell":
        shell(rest)
    else:
        fail(f"adb: unknown command {command}")


def push(source: str, path: str) -> None:
    if (HOME / "full").exists():
        fail(
            f"adb: error: failed to copy '{source}' to '{path}': remote couldn't create file: "
            "No space left on device"
        )
    shutil.copy(source, on_disk(path))
    print(f"{source}: 1 file pushed, 0 skipped. 10.0 MB/s (1000 bytes in 0.001s)")


def shell(lines: list[str]) -> None:
    lose = HOME / "lose"
    if lose.exists():
        left = int(lose.read_text()) - 1
        lose.write_text(str(left))
        if left <= 0:
            lose.unlink()
            if (HOME / "silent").exists():  # the cable came off while the command ran
                (HOME / "states").write_text("")
                sys.exit(255)
            fail("error: closed")
    path = f"{HOME / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", on_disk(" ".join(lines))],
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    sys.exit(done.returncode)


def on_disk(text: str) -> str:
    return re.sub(r"/data/local/tmp", str(HOME / "root"), text)


if __name__ == "__main__":
    main(sys.argv[1:])
