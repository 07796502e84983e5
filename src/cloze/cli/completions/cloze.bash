# Completion of cloze's commands for bash: eval "$(cloze-train --completion bash)"
_cloze() {
    local program=("$1")
    case ${COMP_WORDS[1]-} in
        train.py | finetune.py | */train.py | */finetune.py)
            case ${1##*/} in
                python*)
                    # Another project's script of that name is not to be run.
                    grep -qs '^from cloze\.cli\.' "${COMP_WORDS[1]}" || return 0
                    program+=("${COMP_WORDS[1]}")
                    ;;
            esac
            ;;
        *)
            case ${1##*/} in python*) _cloze_others "$@"; return ;; esac
            ;;
    esac
    local line=${COMP_LINE:0:COMP_POINT}
    local replies
    replies=$(CLOZE_LINE=$line "${program[@]}" --complete bash 2>/dev/null </dev/null)
    mapfile -t COMPREPLY <<<"$replies"
    [[ -n $replies ]] || COMPREPLY=()
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
_cloze_others() { # what completed python before, or the names of files
    if declare -F "$_cloze_python" >/dev/null; then
        "$_cloze_python" "$@"
    else
        compopt -o bashdefault -o default 2>/dev/null
        COMPREPLY=()
    fi
}
if declare -F _comp_load >/dev/null; then
    _comp_load python 2>/dev/null
elif declare -F _completion_loader >/dev/null; then
    _completion_loader python 2>/dev/null
fi
if [[ $(complete -p python 2>/dev/null) =~ \ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != _cloze ]]; then
    _cloze_python=${BASH_REMATCH[1]}
fi
: "${_cloze_python:=}"
complete -F _cloze python python3 cloze-convert cloze-demo cloze-doctor cloze-embed cloze-features cloze-finetune \
    cloze-glue cloze-mine cloze-predict cloze-prepare cloze-report cloze-search cloze-train
