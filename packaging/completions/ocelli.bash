# Bash completion for ocelli(1).
_ocelli()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]} options
    options="--threads --isa --device --limit --json --quiet --help"
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "read caption parse ask classify embed search inspect preprocess tokenize
            detokenize forward generate bench help --help --version" -- "$current")
        return
    fi
    case $previous in
        --isa) options="auto generic avx2 avx512" ;;
        --device) options="cpu" ;;
        --dtype) options="f32 int8" ;;
        --model) options="printed-line-ocr emoji-caption" ;;
        --truncation) options="longest_first only_first only_second" ;;
        --padding) options="longest max_length" ;;
        --clean-up) options="true false" ;;
        *)
            case $command in
                read | caption) options+=" --model --with-filename --batch" ;;
                parse) options+=" --model --task --question --with-filename --batch" ;;
                ask) options+=" --task --regions --image-id --top emoji-vqa" ;;
                classify) options+=" --labels --template --top --batch emoji-match" ;;
                embed) options+=" --out --text --texts --normalize --truncate --regions --batch
                    emoji-match" ;;
                search) options+=" index --out --dtype --batch --top --image --model --html --montage" ;;
                help) options="limits read caption parse ask classify embed search inspect preprocess tokenize
                    detokenize forward generate bench" ;;
                inspect) options+=" --tensors --class printed-line-ocr emoji-caption" ;;
                preprocess) options+=" --out" ;;
                tokenize) options+=" --tokens --offsets --pair --no-special-tokens
                    --max-length --truncation --padding" ;;
                detokenize) options+=" --skip-special-tokens --clean-up" ;;
                forward) options+=" --in --out --class --allow-missing --output-hidden-states
                    --output-attentions --use-cache --gradients" ;;
                generate) options+=" --in --out --output-scores --output-logprobs
                    --max-new-tokens --max-length --repetition-penalty" ;;
                bench) options+=" --runs printed-line-ocr" ;;
            esac ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current"; compgen -f -- "$current")
}
complete -o filenames -F _ocelli ocelli
