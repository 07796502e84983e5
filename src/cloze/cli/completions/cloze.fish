# Completion of cloze's commands for fish: cloze-train --completion fish | source
function __cloze
    set -l words (commandline -opc)
    set -l program $words[1]
    if string match -q 'python*' (basename $words[1])
        set program $words[1] $words[2]
    end
    CLOZE_LINE=(commandline -cp | string collect) $program --complete fish 2>/dev/null </dev/null
end
function __cloze_script
    set -l words (commandline -opc)
    test (count $words) -ge 2; or return 1
    string match -qr '(^|/)(train|finetune)\.py$' -- $words[2]; and grep -qs '^from cloze\.cli\.' $words[2]
end
for name in convert demo doctor embed features finetune glue mine predict prepare report search train
    complete -c cloze-$name -f -a '(__cloze)'
end
for name in python python3
    complete -c $name -n __cloze_script -f -a '(__cloze)'
end
