//! What shells accept is accepted, and what is reported is where the mistake is.

mod acceptance;

use super::*;

#[test]
fn scripts_that_run_are_accepted() {
    for script in [
        "",
        "# only a comment",
        "a; b && c || d & e",
        "a |\n b &&\n\n c",
        "! a | b",
        "if a; then b; elif c; then d; else e; fi; f",
        "if a; then if b; then c; fi fi",
        "while read -r l; do echo \"$l\"; done <file >out 2>&1",
        "until a; do b; done | c",
        "for i in 1 2 3; do echo $i; done",
        "for i; do a; done; for i\ndo a\ndone",
        "for i in do; do echo $i; done",
        "case $x in a|b) c;; (d) e ;; *) esac",
        "case x in\n a)\n b\n ;;\n *) c\nesac",
        "f() { a; }; f () ( b )\nf()\n{\na\n}",
        "{ a; b; } 2>/dev/null; ( c; d )",
        "a=1 b=$(c \"$(d 'e)')\") f",
        "echo $((1 + (2 * 3))) $( (a); (b) ) ${a:-${b%\"}\"}} ${#a} ${a##*/} $# $@ $? ${@} ${!}",
        "echo \"`date \\`x\\``\" 'a\nb' a\\\nb \\' \\\"",
        "cat <<A <<-'B' >x\n$(unclosed\nA\n\tx)\n\tB\necho z",
        "echo $(cat <<A\nx)\nA\n)",
        "exec 3<&1 4>&- 5>|x <>y >>z",
        "[ -f x ] && [ \"$a\" = b ] || echo no >&2",
        "set -eux; apt-get update && apt-get install -y \\\n  curl # why\n",
        "echo a#b {a,b} }x x{ do=1 if",
        "sed -e 's/a(b)/c/' -e \"s|x|$y|\"",
        "time { a; }",
        "echo !",
        "echo \"${x:-it's}\"",
        // bash
        "[[ $a =~ ^(x|y)$ && -n $b ]] && echo",
        "((i++)); for ((i=0; i<3; i++)); do a; done",
        "f() { local codes=() n=1; declare -a x=(\"${codes[@]}\" '1'); }",
        "a=(1 2 \"$x\"); a+=(3); echo ${a[0]} ${a[@]} ${a/b/c} ${a^^}",
        "diff <(a) <(b); a &>x; a |& b; cat <<<x; echo $'a\\'b'",
        "function f { a; }; select x in a b; do c; done",
        "case x in a) b ;& c) d ;;& esac; ls !(a|b) @(x)",
    ] {
        assert_eq!(read(script).err(), None, "{script}");
    }
}

#[test]
fn each_mistake_has_its_message_and_place() {
    for (script, message, at) in [
        ("echo 'a", "single quote `'` is never closed", 5),
        ("echo \"a", "double quote `\"` is never closed", 5),
        ("echo `a", "backquote `` ` `` is never closed", 5),
        ("echo $(a", "`$(` is never closed", 5),
        ("echo ${a", "`${` is never closed", 5),
        ("if a; then b", "`if` is never closed", 0),
        ("if a; then b; f", "`if` is never closed", 0),
        ("for i in a; do a; fi", "unexpected `fi`", 18),
        ("a; done", "unexpected `done`", 3),
        ("for i in 1 2 do a; done", "`do` is read as one more word of the `for` list", 13),
        ("for $i in a; do b; done", "`for $i`: the loop variable is written without `$`", 4),
        ("a &&", "nothing follows `&&`", 2),
        ("a |", "nothing follows `|`", 2),
        ("a && ; b", "nothing follows `&&`", 2),
        ("&& a", "unexpected `&&`: there is no command before it", 0),
        ("a; ; b", "unexpected `;`: there is no command before it", 3),
        ("a & ; b", "unexpected `;`: there is no command before it", 4),
        ("a ;; b", "`;;` belongs inside `case`", 2),
        ("case x in a b", "expected `)` after the `case` pattern", 10),
        ("a )", "`)` closes nothing", 2),
        ("a ( b", "unexpected `(`", 2),
        ("a >", "`>` needs a target after it", 2),
        ("a > ; b", "`>` needs a target after it", 2),
        ("if a; then fi", "`then` has no command in it", 6),
        ("echo ${}", "bad substitution `${}`", 5),
        ("echo ${a b}", "bad substitution `${a b}`", 5),
        ("cat <<E\nx\n", "here-document is never closed: no line holds just `E`", 4),
        ("cat <<E", "here-document is never closed: no line holds just `E`", 4),
        ("if a; then b; fi c", "unexpected `c`", 17),
        ("{ a; ) }", "unexpected `)`", 5),
        ("a | ! b", "unexpected `!`", 4),
        ("if ! then b; fi", "unexpected `then`", 5),
        ("f() ; a", "`f()` has no body", 0),
        ("echo x=(1)", "unexpected `(`", 7),
        ("case x in a) b;; ", "`case` is never closed", 0),
        ("[[ a", "`[[` is never closed", 0),
        ("while a; do b; done; }", "unexpected `}`", 21),
    ] {
        match read(script) {
            Err(problem) => assert_eq!((problem.message.as_str(), problem.range.start), (message, at), "{script}"),
            Ok(facts) => panic!("{script}: accepted, {facts:?}"),
        }
    }
}

#[test]
fn what_a_script_does_is_noted() {
    let script = "A=1 export B=2; x \"$A\" '$C' ${D:-e} | y; read Z; [[ a ]]";
    let facts = read(script).unwrap();
    let text =
        |ranges: &[Range<usize>]| ranges.iter().map(|range| &script[range.clone()]).collect::<Vec<_>>().join(" ");
    assert_eq!(text(&facts.parameters), "A D");
    assert_eq!(text(&facts.assigned), "A B Z");
    assert_eq!(
        facts.commands.iter().map(|words| text(words)).collect::<Vec<_>>(),
        ["export B=2", "x \"$A\" '$C' ${D:-e}", "y", "read Z"]
    );
    assert_eq!(facts.pipes.len(), 1);
    assert_eq!(facts.bash.iter().map(|(_, what)| *what).collect::<Vec<_>>(), ["`[[ … ]]`"]);
}

#[test]
fn any_bytes_are_read_in_time() {
    for part in [
        "(",
        "$(",
        "${a:-",
        "\"$(",
        "if ",
        "{ ",
        "case x in a) ",
        "`",
        "$((",
        "<<a ",
        "a=(",
        "[[ ",
        "@(",
        "\\",
        "é(",
        ";",
    ] {
        let _ = read(&part.repeat(20_000));
        let _ = read(&format!("a{}", part.repeat(300)));
    }
    let pieces = [
        "if", "then", "fi", "do", "done", "for", "in", "case", "esac", "{", "}", "(", ")", ";", ";;", "&", "&&", "|",
        "\n", " ", "'", "\"", "`", "$", "${", "$(", "$((", "))", "<<E", "<", ">", "\\", "a", "=", "é", "[[", "]]", "#",
        "!", "@(",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..10 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        if let Err(problem) = read(&text) {
            assert!(text.get(problem.range.clone()).is_some(), "{text:?}: {problem:?}");
        }
    }
}

#[test]
fn simple_commands_are_joined_as_they_are() {
    assert_eq!(join(&["a", "b | c", "d >x 2>&1"]), "a && b | c && d >x 2>&1");
    assert_eq!(join(&["a; b"]), "a; b");
}

#[test]
fn lists_are_put_in_braces() {
    for script in ["a; b", "a || b", "a &", "a\nb", "a # why"] {
        assert_eq!(join(&["x", script]), format!("x && {{ {script}\n}}"), "{script}");
    }
}

#[test]
fn separators_in_quotes_and_subshells_do_not_count() {
    for script in ["echo ';'", "echo \"a || b\"", "(a; b)", "echo \\;", "echo $(a; b)", "echo a#b"] {
        assert_eq!(join(&["x", script]), format!("x && {script}"), "{script}");
    }
}
