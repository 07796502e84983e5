# Completion of cloze's commands for zsh, behind compinit: eval "$(cloze-train --completion zsh)"
_cloze() {
    local -a program matches
    local line text meaning
    program=(${words[1]})
    if [[ ${words[1]:t} == python* ]]; then
        if [[ ${words[2]:t} != (train|finetune).py ]] || ! grep -qs '^from cloze\.cli\.' ${words[2]}; then
            (( ${+functions[_python]} )) || autoload -Uz _python
            _python
            return
        fi
        program+=(${words[2]})
    fi
    line="${(j: :)words[1,CURRENT-1]} ${PREFIX}"
    while IFS=$'\t' read -r text meaning; do
        if [[ $text == *[=./] ]]; then
            compadd -S '' -Q -- ${(q)text}
        else
            compadd -Q -- ${(q)text}
        fi
    done < <(CLOZE_LINE=$line ${program[@]} --complete zsh 2>/dev/null </dev/null)
}
compdef _cloze python python3 cloze-convert cloze-demo cloze-doctor cloze-embed cloze-features cloze-finetune \
    cloze-glue cloze-mine cloze-predict cloze-prepare cloze-report cloze-search cloze-train
