# Bash completion for ocelli(1). Everything is asked of the command itself, whose --help is made
# of the tables that it parses its arguments by.
_ocelli()
{
    local ocelli=$1 current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]} help value
    if [ "$COMP_CWORD" -eq 1 ] || { [ "$COMP_CWORD" -eq 2 ] && [ "$command" = help ]; }; then
        mapfile -t COMPREPLY < <(compgen -W "$("$ocelli" --help 2>/dev/null |
            sed -n 's/^  \([a-z]*\)  .*/\1/p') help limits --help --version" -- "$current")
        return
    fi
    help=$("$ocelli" help "$command" 2>/dev/null)
    value=$(sed -n "s/^  $previous \([^ ]\{1,\}\).*/\1/p" <<<"$help")
    case $previous:$value in
        --*:*'|'*) mapfile -t COMPREPLY < <(compgen -W "${value//|/ }" -- "$current") ;;
        --*:?*) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        *)
            # The options, and those of generation that the text names.
            mapfile -t COMPREPLY < <(
                compgen -W "$(grep -o -e '--[a-z][a-z0-9-]*' <<<"$help" | sort -u) --help" \
                    -- "$current"
                compgen -f -- "$current"
            ) ;;
    esac
}
complete -o filenames -F _ocelli ocelli
