//! Dropbox's checksum: the SHA-256 of the SHA-256s of blocks.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Size of a block.
const BLOCK_BYTES: usize = 4 << 20;

/// Bodies of more bytes than this are hashed on a thread for blocking work.
const HASH_HERE_BYTES: u64 = 64 << 10;

/// The checksum of pieces in order, as Dropbox writes it, and their plain SHA-256 where that is wanted.
pub(crate) struct Digests {
    pub(crate) content_hash: String,
    pub(crate) sha256: Option<[u8; 32]>,
}

/// The digests of pieces; large ones don't hold up the task.
pub(crate) async fn digests(pieces: &[Bytes], with_sha256: bool) -> Result<Digests, tokio::task::JoinError> {
    let len_bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    if len_bytes <= HASH_HERE_BYTES {
        return Ok(digests_here(pieces, with_sha256));
    }
    let pieces = pieces.to_vec();
    tokio::task::spawn_blocking(move || digests_here(&pieces, with_sha256)).await
}

fn digests_here(pieces: &[Bytes], with_sha256: bool) -> Digests {
    let mut whole = with_sha256.then(Sha256::new);
    let (mut outer, mut block, mut in_block) = (Sha256::new(), Sha256::new(), 0);
    for piece in pieces {
        if let Some(whole) = &mut whole {
            whole.update(piece);
        }
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK_BYTES - in_block));
            block.update(now);
            in_block += now.len();
            if in_block == BLOCK_BYTES {
                outer.update(block.finalize_reset());
                in_block = 0;
            }
            rest = later;
        }
    }
    if in_block > 0 {
        outer.update(block.finalize());
    }
    Digests { content_hash: hex(&outer.finalize()), sha256: whole.map(|whole| whole.finalize().into()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use backup_test_emulators::dropbox::content_hash;

    use super::*;

    #[test]
    fn checksum_is_the_same_however_the_bytes_are_cut() {
        let block = BLOCK_BYTES;
        for len in [0, 1, block - 1, block, block + 1, 2 * block, 2 * block + 7] {
            let bytes: Bytes = (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect::<Vec<_>>().into();
            let wanted = content_hash(&bytes);
            for cut in [1 << 20, 3_000_000, block, 3 * block] {
                let pieces: Vec<Bytes> = bytes.chunks(cut).map(Bytes::copy_from_slice).collect();
                let digests = digests_here(&pieces, true);
                assert_eq!(digests.content_hash, wanted, "{len} bytes in pieces of {cut}");
                let sha256: [u8; 32] = Sha256::digest(&bytes).into();
                assert_eq!(digests.sha256, Some(sha256));
            }
        }
    }

    #[test]
    fn checksum_of_nothing_is_the_one_of_no_blocks() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digests_here(&[], false).content_hash, empty);
    }
}
