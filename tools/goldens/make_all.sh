#!/bin/sh
# Makes all goldens anew, in their places; then `git status` says what is not as committed.
#
#     PYTHON=REF/bin/python tools/goldens/make_all.sh [MAKER...]
#
# PYTHON has requirements.txt, PYTHON_FORMATS (else make_formats is left out) has
# requirements-formats.txt, and OCELLI_SHARED (../shared) the pictures and vocabularies beside the repository
# (else what needs them is left out). MAKER is a name without make_ and .py; without any, all are
# run: 45 minutes on two busy cores. Pictures are not set anew (make_lines.py render, README.md).
set -u
cd "$(dirname "$0")/../.." || exit 1
python=${PYTHON:-python3} shared=${OCELLI_SHARED:-../shared}
scenes=$shared/images/emoji text=tests/data/text
failed=0

# run NAME PYTHON ARGUMENT... - if NAME is among the makers that were asked for.
run() {
    name=$1 with=$2
    shift 2
    case " ${wanted:-$name} " in *" $name "*) ;; *) return ;; esac
    printf '%s\n' "make_$name.py $*"
    "$with" "tools/goldens/make_$name.py" "$@" || { echo "make_$name.py failed" >&2; failed=1; }
}

# needs WHAT NAME PYTHON ARGUMENT... - the same, if the file or folder WHAT is there.
needs() {
    what=$1
    shift
    if [ -e "$what" ]; then run "$@"; else echo "make_$1.py: skipped, there is no $what"; fi
}

# The ids of random texts, with the real vocabularies where they are.
random() {
    folders=$(sed "s,^shared/,$shared/vocabs/,; t end; s,^,$text/,; :end s, .*,," $text/random.txt)
    # shellcheck disable=SC2086  # names of folders, a word each
    "$python" tools/goldens/make_text.py --hash $folders > $text/random.new &&
        mv $text/random.new $text/random.txt
}

wanted=$*
run models "$python"
run encoders "$python"
run clip "$python"
run decoders "$python"              # joins and draws cases of the three above
run generate "$python"
run dual "$python"
run vipllava "$python"
run pruned "$python"
run pairs "$python"
needs "$scenes" visual_bert "$python" --scenes "$scenes"
run ops "$python"
run processors "$python"
run image "$python"
run io "$python"
run npy "$python"
needs "${PYTHON_FORMATS:-no PYTHON_FORMATS}" formats "${PYTHON_FORMATS:-}"
run text "$python" $text
run text_models "$python" $text
run clip_text "$python" $text
run llama_text "$python" $text
run documents "$python"
run markup "$python"
run parsers "$python"
run lines "$python" answer
needs "$scenes" vqa "$python" "$shared"
needs "$scenes" classify "$python" "$scenes"
needs "$scenes" captions "$python" "$scenes"
needs "$scenes" chat "$python" models/emoji-chat "$scenes" tests/data/generate
case " ${wanted:-random} " in *" random "*) [ ! -d "$shared/vocabs" ] || random || failed=1 ;; esac
exit $failed
