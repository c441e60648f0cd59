# Fish completion for ocelli(1). Everything is asked of the command itself, whose --help is made
# of the tables that it parses its arguments by.
function __ocelli_commands
    ocelli --help 2>/dev/null | string replace -rf '^  ([a-z]+)  +([A-Z].*)' '$1\t$2'
    printf 'help\tOf a command\nlimits\tOn input\n'
end
function __ocelli_options
    set -l words (commandline -opc)
    set -l help (ocelli help $words[2] 2>/dev/null)
    set -l value (string replace -rf -- "^  $words[-1] (\S+).*" '$1' $help)
    if string match -q -- '--*' $words[-1]; and string match -q -- '*|*' $value
        string split '|' $value
    else
        string replace -rf '^  (--[a-z-]+)( \S+)? *(.*)' '$1\t$3' $help
    end
end
complete -c ocelli -n __fish_use_subcommand -f -a '(__ocelli_commands)'
complete -c ocelli -n '__fish_seen_subcommand_from help' -f -a '(__ocelli_commands)'
complete -c ocelli -n 'not __fish_use_subcommand' -a '(__ocelli_options)'
