//! Index objects: the tables of many packs (§7).

use super::pack::PackTable;
use super::wire::{Cursor, put_varint};
use super::{FormatError, ObjectKind, malformed};
use crate::id::{ObjectId, PackId};

/// A pack as the index names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedPack {
    /// The pack.
    pub id: PackId,
    /// Data or tree.
    pub kind: ObjectKind,
    /// Size of the whole object.
    pub size_bytes: u64,
    /// What is in it.
    pub table: PackTable,
}

/// One index object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexSegment {
    /// Index objects that this one replaces.
    pub supersedes: Vec<ObjectId>,
    /// The packs it names.
    pub packs: Vec<IndexedPack>,
}

impl IndexSegment {
    /// The payload of the object.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.supersedes.len() as u64);
        for id in &self.supersedes {
            out.extend_from_slice(id.as_bytes());
        }
        put_varint(&mut out, self.packs.len() as u64);
        for pack in &self.packs {
            out.extend_from_slice(pack.id.as_bytes());
            out.push(pack.kind.number());
            put_varint(&mut out, pack.size_bytes);
            pack.table.encode(&mut out);
        }
        out
    }

    /// Decodes a payload.
    pub fn decode(payload: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(payload, "index");
        let superseded = cursor.count(32)?;
        let supersedes =
            (0..superseded).map(|_| Ok(ObjectId::from_bytes(cursor.array()?))).collect::<Result<_, FormatError>>()?;
        let count = cursor.count(35)?;
        let mut packs = Vec::with_capacity(count);
        for _ in 0..count {
            let id = PackId::from_bytes(cursor.array()?);
            let kind = match ObjectKind::from_number(cursor.u8()?) {
                Some(kind @ (ObjectKind::DataPack | ObjectKind::TreePack)) => kind,
                _ => return Err(malformed("index", "unknown kind of pack")),
            };
            let size_bytes = cursor.varint()?;
            packs.push(IndexedPack { id, kind, size_bytes, table: PackTable::decode(&mut cursor)? });
        }
        cursor.finish()?;
        Ok(Self { supersedes, packs })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::pack::{BlobEntry, BlockEntry};
    use crate::id::BlobPrefix;

    #[test]
    fn segment_comes_back() {
        let blobs = vec![BlobEntry { prefix: BlobPrefix([5; 16]), len_bytes: 77 }];
        let table = PackTable { blocks: vec![BlockEntry { ordinal: 3, offset_bytes: 80, sealed_bytes: 99, blobs }] };
        let pack =
            IndexedPack { id: PackId::from_bytes([1; 32]), kind: ObjectKind::TreePack, size_bytes: 1 << 40, table };
        let segment = IndexSegment { supersedes: vec![ObjectId::from_bytes([2; 32])], packs: vec![pack.clone(), pack] };
        assert_eq!(IndexSegment::decode(&segment.encode()), Ok(segment));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = IndexSegment::decode(&bytes);
        }
    }
}
