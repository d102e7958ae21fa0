//! Reading the trail: whole chains, page by page, as of one moment.

use super::verify::{Break, Walk};
use super::{Chain, Entry, Head};
use crate::storage::{Storage, StorageError, audit};

/// Entries read at once.
const PAGE: i64 = 1000;

/// Gives every entry of a chain to `each`, in order, until it says [`std::ops::ControlFlow::Break`]; then the chain's end
/// of that moment.
async fn entries<B>(
    storage: &Storage,
    chain: &Chain,
    mut each: impl FnMut(Entry) -> Result<(), B>,
) -> Result<Result<Head, B>, StorageError> {
    let mut tx = storage.begin_read().await?;
    let end = audit::head_of(&mut tx, chain).await?;
    // Behind the lowest number that can be stored: an entry before the first one would be one too many.
    let mut after = i64::MIN;
    loop {
        let page = audit::page(&mut tx, chain, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for entry in page {
            if let Err(stopped) = each(entry) {
                return Ok(Err(stopped));
            }
        }
    }
    tx.rollback().await?;
    Ok(Ok(end))
}

/// Walks a chain from its first entry to its end; every head of it in `kept` must be met on the way.
///
/// # Errors
/// [`StorageError`]; what is wrong with the chain is the [`Break`] inside.
pub async fn verify(storage: &Storage, chain: &Chain, kept: &[Head]) -> Result<Result<Head, Break>, StorageError> {
    let mut walk = Walk::new(chain.clone(), kept);
    let walked = entries(storage, chain, |entry| walk.step(&entry)).await?;
    Ok(walked.and_then(|end| walk.finish(&end)))
}

/// Gives every entry of a chain to `each`, in order, whether the chain holds or not.
///
/// # Errors
/// [`StorageError`], or that of `each`.
pub async fn read<E: From<StorageError>>(
    storage: &Storage,
    chain: &Chain,
    each: impl FnMut(Entry) -> Result<(), E>,
) -> Result<(), E> {
    entries(storage, chain, each).await?.map(drop)
}
