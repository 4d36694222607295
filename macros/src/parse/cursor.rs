//! A position in a list of tokens.

use proc_macro2::{Delimiter, Ident, Spacing, Span, TokenStream, TokenTree};

use crate::source::Extent;

pub(super) struct Cursor {
    tokens: Vec<TokenTree>,
    at: usize,
}

impl Cursor {
    pub(super) fn new(tokens: TokenStream) -> Self {
        Self { tokens: tokens.into_iter().collect(), at: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn reset(&mut self, position: usize) {
        self.at = position;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// The token `ahead` places further.
    pub(super) fn peek(&self, ahead: usize) -> Option<&TokenTree> {
        self.tokens.get(self.at + ahead)
    }

    pub(super) fn next(&mut self) -> Option<TokenTree> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    pub(super) fn take(&mut self, count: usize) -> Vec<TokenTree> {
        (0..count).filter_map(|_| self.next()).collect()
    }

    pub(super) fn is_punct(&self, ahead: usize, wanted: char) -> bool {
        matches!(self.peek(ahead), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
    }

    pub(super) fn is_ident(&self, ahead: usize, wanted: &str) -> bool {
        matches!(self.peek(ahead), Some(TokenTree::Ident(ident)) if ident == wanted)
    }

    /// Two punctuation characters without a space between them.
    pub(super) fn is_pair(&self, ahead: usize, first: char, second: char) -> bool {
        let joint = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.spacing() == Spacing::Joint);
        self.is_punct(ahead, first) && self.is_punct(ahead + 1, second) && self.peek(ahead).is_some_and(joint)
    }

    /// The span of the token before this position.
    pub(super) fn last_span(&self) -> Span {
        self.tokens[..self.at.min(self.tokens.len())].last().map_or_else(Span::call_site, TokenTree::span)
    }

    /// From this span to the token before this position.
    pub(super) fn extent_from(&self, first: Span) -> Extent {
        Extent { first, last: self.last_span() }
    }

    /// Words joined by `-`, as in `start-period`.
    pub(super) fn dashed_word(&mut self) -> Option<(String, Extent)> {
        let Some(TokenTree::Ident(first)) = self.peek(0).cloned() else { return None };
        self.next();
        let mut text = unraw(&first);
        while self.is_punct(0, '-') && !self.is_punct(1, '-') {
            let Some(TokenTree::Ident(word)) = self.peek(1).cloned() else { break };
            self.take(2);
            text = format!("{text}-{}", unraw(&word));
        }
        Some((text, self.extent_from(first.span())))
    }

    pub(super) fn skip_past_semicolon(&mut self) {
        self.skip_past_semicolon_or_to(|_| false);
    }

    /// Skips the rest of an instruction and leaves its `;`.
    pub(super) fn skip_before_semicolon(&mut self) {
        while !self.is_empty() && !self.is_punct(0, ';') {
            self.at += 1;
        }
    }

    /// Skips the rest of an instruction: past its `;`, or to a word that begins the next one.
    pub(super) fn skip_past_semicolon_or_to(&mut self, begins: impl Fn(&Ident) -> bool) {
        while let Some(token) = self.peek(0) {
            match token {
                TokenTree::Ident(word) if begins(word) => return,
                TokenTree::Punct(punct) if punct.as_char() == ';' => {
                    self.next();
                    return;
                }
                _ => self.at += 1,
            }
        }
    }
}

/// The text of an identifier, without `r#`.
pub(super) fn unraw(word: &Ident) -> String {
    let text = word.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

/// A token for a message.
pub(super) fn shown(token: &TokenTree) -> String {
    match token {
        TokenTree::Group(group) => match group.delimiter() {
            Delimiter::Parenthesis => "`(`".to_owned(),
            Delimiter::Bracket => "`[`".to_owned(),
            _ => "`{`".to_owned(),
        },
        token => format!("`{token}`"),
    }
}
