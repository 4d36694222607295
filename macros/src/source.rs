//! Where everything was written: the table behind the places of the tree.

use std::path::PathBuf;

use plywood_syntax::finding::Place;
use proc_macro2::{Literal, Span, TokenStream};

/// From the first token of a written thing to its last: a stable compiler joins no spans.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) first: Span,
    pub(crate) last: Span,
}

impl From<Span> for Extent {
    fn from(span: Span) -> Self {
        Self { first: span, last: span }
    }
}

/// One written thing.
pub(crate) struct Piece {
    pub(crate) extent: Extent,
    /// Of what stands for it in the expansion, where an editor looks.
    pub(crate) span: Span,
    /// The same, where it stands there as it was written.
    pub(crate) tokens: TokenStream,
    /// The literal it was written as.
    pub(crate) literal: Option<Literal>,
}

/// All pieces, by place.
#[derive(Default)]
pub(crate) struct Sources(Vec<Piece>);

impl Sources {
    pub(crate) fn add(&mut self, at: impl Into<Extent>, tokens: TokenStream, literal: Option<Literal>) -> Place {
        let extent = at.into();
        self.push(Piece { extent, span: extent.first, tokens, literal })
    }

    /// The name of a flag, and the `--` before it.
    pub(crate) fn flag(&mut self, dashes: Span, name: Extent) -> Place {
        let extent = Extent { first: dashes, last: name.last };
        self.push(Piece { extent, span: name.first, tokens: TokenStream::new(), literal: None })
    }

    fn push(&mut self, piece: Piece) -> Place {
        let place = Place(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(piece);
        place
    }

    pub(crate) fn span(&mut self, at: impl Into<Extent>) -> Place {
        self.add(at, TokenStream::new(), None)
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Piece> {
        self.0.get(place.0 as usize)
    }

    pub(crate) fn span_of(&self, place: Place) -> Span {
        self.get(place).map_or_else(Span::call_site, |piece| piece.span)
    }

    /// The line a place begins on, where the compiler tells.
    pub(crate) fn line(&self, place: Place) -> Option<usize> {
        let position = Position::start(self.get(place)?.extent.first)?;
        Some(position.line)
    }
}

/// A place in a file, both numbers from 1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    /// Where a span begins; nothing outside the compiler and in editors that do not tell.
    pub(crate) fn start(span: Span) -> Option<Self> {
        if !proc_macro::is_available() {
            return None;
        }
        let span = span.unwrap();
        (!span.file().is_empty()).then(|| Self { line: span.line(), column: span.column() })
    }

    /// Where a span ends.
    pub(crate) fn end(span: Span) -> Option<Self> {
        Self::start(end(span))
    }
}

/// The empty span just after this one.
pub(crate) fn end(span: Span) -> Span {
    if proc_macro::is_available() { span.unwrap().end().into() } else { span }
}

/// The empty span just before this one.
pub(crate) fn start(span: Span) -> Span {
    if proc_macro::is_available() { span.unwrap().start().into() } else { span }
}

/// The path of the file a span is in, as the compiler can open it.
pub(crate) fn local_file(span: Span) -> Option<PathBuf> {
    if proc_macro::is_available() { span.unwrap().local_file() } else { None }
}

/// The name of the file a span is in, where the compiler tells.
pub(crate) fn file(span: Span) -> Option<String> {
    if !proc_macro::is_available() {
        return None;
    }
    Some(span.unwrap().file()).filter(|file| !file.is_empty())
}
