"""Breaks the code in the ways of a list, one after the other: something has to notice each. What is broken and who is asked, the scripts say that use this."""
import sys


def main(source, mutants, copy, noticed):
    """Runs the list `mutants` (a name to a file under `source`, a text there and what it becomes), or only checks it.

    `copy` makes a copy to break and gives where `source` is in it. `noticed` gives who notices first and what was said: `''` if nobody does, `None` if it
    does not compile.
    """
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    check(source, mutants)
    if word == "--check":
        return
    broken = copy()
    found, said = noticed()
    if found != "":
        sys.exit(f"without any change something is wrong already: {found}\n{said[-2000:]}")
    chosen = {name: change for name, change in mutants.items() if word in name}
    missed = 0
    for name, (file, old, new) in chosen.items():
        text = (broken / file).read_text()
        (broken / file).write_text(text.replace(old, new))
        found, said = noticed()
        (broken / file).write_text(text)
        if found is None:
            sys.exit(f"{name}: does not compile\n{said[-2000:]}")
        missed += not found
        print(f"{name}: {found or 'NOT CAUGHT'}", flush=True)
    print(f"{len(chosen) - missed} passed, {missed} failed")
    sys.exit(1 if missed else 0)


def check(source, mutants):
    """A text that is gone would end a run of an hour in its middle, unseen until somebody starts one."""
    for name, (file, old, _) in mutants.items():
        count = (source / file).read_text().count(old)
        if count != 1:
            sys.exit(f"{name}: the text to be changed stands {count} times in {file}")
