"""SHELL is bash, zsh or fish. Prints a script that makes it complete verbs, options and files.

  bash:  eval "$(mien completion bash)", in ~/.bashrc
  zsh:   eval "$(mien completion zsh)", in ~/.zshrc after compinit
  fish:  mien completion fish > ~/.config/fish/completions/mien.fish

Next: mien completion bash
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mien.cli import DONE, VERBS, load_verb
from mien.cli.parser import one_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

_BASH = """_mien() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" verb="${{COMP_WORDS[1]}}" words=""
    case "$verb" in
        {groups}) [ "$COMP_CWORD" -gt 2 ] && verb="$verb ${{COMP_WORDS[2]}}" ;;
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{first}"
    else
        case "$verb" in
{cases}
        esac
        case "$cur:$verb" in
            -*) ;;
            {seconds}) ;;
            *) words="" ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    [ -n "$words" ] || COMPREPLY=($(compgen -f -- "$cur"))
}}
complete -o filenames -F _mien mien
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien completion``."""
    parser.add_argument("shell", type=one_of("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")


def run(options: Namespace) -> int:
    """Print the script; return the exit code."""
    sys.stdout.write(_fish() if options.shell == "fish" else f"{_ZSH * (options.shell == 'zsh')}{_bash()}")
    return DONE


_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def options_of(verb: str) -> list[str]:
    """Return the long options of a verb."""
    parser, _ = load_verb(verb)
    return sorted(name for name in parser._option_string_actions if name.startswith("--"))


def _bash() -> str:
    groups = _groups()
    cases = [f'            "{verb}") words="{" ".join(options_of(verb))}" ;;' for verb in VERBS]
    cases += [f'            {group}) words="{" ".join(seconds)}" ;;' for group, seconds in groups.items()]
    return _BASH.format(
        groups="|".join(groups),
        first=" ".join(dict.fromkeys(verb.split()[0] for verb in VERBS)),
        seconds="|".join(f"*:{group}" for group in groups),
        cases="\n".join(cases),
    )


def _groups() -> dict[str, list[str]]:
    """Return the first words of verbs of two words → their second words."""
    groups: dict[str, list[str]] = {}
    for verb in VERBS:
        first, _, second = verb.partition(" ")
        if second:
            groups.setdefault(first, []).append(second)
    return groups


def _fish() -> str:
    lines = []
    for verb, (_, summary) in VERBS.items():
        first, _, second = verb.partition(" ")
        about = summary.replace("'", "’")
        seen = f"__fish_seen_subcommand_from {first}"
        if second:
            lines.append(f"complete -c mien -n '{seen}' -a {second} -d '{about}'")
            seen += f"; and __fish_seen_subcommand_from {second}"
        else:
            lines.append(f"complete -c mien -n __fish_use_subcommand -a {first} -d '{about}'")
        lines += [f"complete -c mien -n '{seen}' -l {name[2:]}" for name in options_of(verb)]
    lines += [f"complete -c mien -n __fish_use_subcommand -a {group}" for group in _groups()]
    return "\n".join(lines) + "\n"
