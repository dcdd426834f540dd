"""What a shell needs to complete `dermasense`, for bash, zsh and fish."""

from dermasense.errors import DermaSenseError, nearest

# readline takes = for the end of a word, so what stands before it is cut off again.
BASH = r"""
_dermasense() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n'
    local word="${line##* }"
    COMPREPLY=($("$1" completion --words "${line#* }" 2>/dev/null))
    if [[ "$word" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    fi
    [[ "${COMPREPLY[*]}" == *[=.]* ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _dermasense dermasense
"""
ZSH = r"""
#compdef dermasense
_dermasense() {
    local line="${(j: :)words[2,CURRENT-1]} $PREFIX"
    local -a found open
    found=(${(f)"$("${words[1]}" completion --words "$line" 2>/dev/null)"})
    if (( $#found )); then
        open=(${(M)found:#*[=.]})
        compadd -S '' -a open
        found=(${found:#*[=.]})
        compadd -a found
    else
        compset -P '*='
        _files
    fi
}
if [[ "$funcstack[1]" == _dermasense ]]; then
    _dermasense "$@"
else
    compdef _dermasense dermasense
fi
"""
FISH = r"""
function __dermasense
    set -l before (commandline -opc)
    set -l word (commandline -ct)
    set -l line (string join ' ' -- $before[2..-1] $word)
    set -l found ($before[1] completion --words "$line" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else if set -l key (string match -r '^[^=]*=' -- $word)
        printf "$key%s\n" (__fish_complete_path (string replace -- $key '' $word))
    end
end
complete -c dermasense -f -a '(__dermasense)'
"""
SCRIPTS = {"bash": BASH, "fish": FISH, "zsh": ZSH}


def script(words: list[str]) -> str:
    """The script of the one shell that is named.

    Raises:
        DermaSenseError: where it is not one of those that are known.
    """
    if len(words) != 1:
        raise DermaSenseError(f"completion takes one shell: {', '.join(SCRIPTS)}.")
    if words[0] not in SCRIPTS:
        raise DermaSenseError(f"completion {words[0]}: {nearest(words[0], SCRIPTS)}")
    return SCRIPTS[words[0]].strip()
