//! The nearest right word.

/// The candidate that is most like the word, if one is like it at all.
///
/// Likeness is the optimal-string-alignment distance (a swap of two neighbours counts once), case ignored; it may be at
/// most a third of the candidate's length, and at least 1 is always allowed.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let length = candidate.chars().count();
        let limit = (length / 3).max(1);
        // The difference of the lengths is a lower bound, which spares most of the work.
        if length.abs_diff(word.chars().count()) > limit {
            continue;
        }
        let distance = distance(word, candidate);
        if distance <= limit && distance < length && best.is_none_or(|(have, _)| distance < have) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The help line for an unknown word.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// The optimal-string-alignment distance, case ignored.
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    // Three rows of the matrix: a swap looks two rows back.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substitute = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substitute.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(distance("RNU", "RUN"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("Copy", "COPY"), 0);
    }

    #[test]
    fn only_likely_words_are_suggested() {
        assert_eq!(nearest("COPPY", ["COPY", "CMD", "ENV"]), Some("COPY"));
        assert_eq!(nearest("RNU", ["RUN", "ENV"]), Some("RUN"));
        assert_eq!(nearest("biuld", ["base", "build"]), Some("build"));
        assert_eq!(nearest("frontend", ["build", "base"]), None);
        assert_eq!(nearest("x", ["a"]), None);
    }
}
