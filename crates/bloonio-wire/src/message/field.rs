//! Reading structured fields (RFC 9651) where a name given twice must not pass: by that standard the last one would win.

use sfv::visitor::{DictionaryVisitor, EntryVisitor};
use sfv::{BareItem, Dictionary, KeyRef, ListEntry, Parser};

use crate::sign::SignatureError;

/// Collects a dictionary's members, and counts them as they are written.
#[derive(Default)]
struct Members {
    written: usize,
    dictionary: Dictionary,
}

impl<'de> DictionaryVisitor<'de> for Members {
    type Out = Self;
    type Error = std::convert::Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Self::Error> {
        self.written += 1;
        DictionaryVisitor::entry(&mut self.dictionary, key)
    }

    fn finish(self) -> Result<Self::Out, Self::Error> {
        Ok(self)
    }
}

/// The members of a dictionary, each given once.
///
/// # Errors
/// [`SignatureError::Malformed`].
pub(super) fn dictionary(text: &str) -> Result<Dictionary, SignatureError> {
    let members = Parser::new(text).parse_dictionary_with_visitor(Members::default());
    let members = members.map_err(|_| SignatureError::Malformed)?;
    if members.written == members.dictionary.len() { Ok(members.dictionary) } else { Err(SignatureError::Malformed) }
}

/// The bytes of a member that is a byte sequence without parameters.
pub(super) fn bytes<'a>(dictionary: &'a Dictionary, name: &str) -> Option<&'a [u8]> {
    match dictionary.get(name)? {
        ListEntry::Item(item) if item.params.is_empty() => match &item.bare_item {
            BareItem::ByteSequence(bytes) => Some(bytes),
            _ => None,
        },
        _ => None,
    }
}
