use plywood::layers;

layers! {
    #![allow(unused_stage)]
    struct Scripts;
    FROM scratch as bare;
    RUN "make";
    FROM "debian:12";
    RUN "if [ -f /x ]; then echo yes; f";
    RUN "echo 'a";
    RUN "make" && "echo \"\u{e9}\" $(date" && "make install";
    RUN "make && ";
    RUN "for i in 1 2 do echo; done";
    RUN "make \\";
    RUN "echo “x”";
    RUN "a\u{a0}b";
    RUN r"
        set -e
        case x in
            a) echo a
            b) echo b;;
        esac
    ";
    SHELL "/bin/bash";
}

fn main() {}
