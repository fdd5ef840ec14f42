//! Reading and writing the primitive values of §1.

use super::{FormatError, malformed};

/// The most bytes that a varint of a `u32` takes.
pub const MAX_VARINT_U32_BYTES: usize = 5;

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a signed number as a zigzag varint.
pub fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A position in bytes that are being decoded.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    /// The beginning of `bytes`; `what` names them in errors.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The error for a value that can't be.
    pub fn malformed(&self, why: &'static str) -> FormatError {
        malformed(self.what, why)
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(FormatError::Truncated(self.what))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(FormatError::Truncated(self.what))?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    /// The next four bytes as a number.
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next varint.
    pub fn varint(&mut self) -> Result<u64, FormatError> {
        // One byte is by far the most frequent.
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.malformed("number over 64 bits"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                if byte == 0 {
                    return Err(self.malformed("number not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(self.malformed("number over 64 bits"))
    }

    /// The next varint, which must fit a `u32`.
    pub fn varint_u32(&mut self) -> Result<u32, FormatError> {
        u32::try_from(self.varint()?).map_err(|_| self.malformed("number over 32 bits"))
    }

    /// The next varint as a count of things of at least `min_bytes` each, so that a count can't exceed the input.
    pub fn count(&mut self, min_bytes: usize) -> Result<usize, FormatError> {
        let count = usize::try_from(self.varint()?).map_err(|_| self.malformed("count too large"))?;
        match count.checked_mul(min_bytes) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(FormatError::Truncated(self.what)),
        }
    }

    /// The next zigzag number.
    pub fn zigzag(&mut self) -> Result<i64, FormatError> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The next length and the bytes after it.
    pub fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let len = self.count(1)?;
        self.take(len)
    }

    /// Fails unless everything has been read.
    pub fn finish(self) -> Result<(), FormatError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("bytes left over")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_zigzag(&mut out, signed);
            let mut cursor = Cursor::new(&out, "test");
            prop_assert_eq!(cursor.varint().unwrap(), value);
            prop_assert_eq!(cursor.zigzag().unwrap(), signed);
            prop_assert!(cursor.finish().is_ok());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut cursor = Cursor::new(&bytes, "test");
            while let Ok(value) = cursor.varint() {
                let mut again = Vec::new();
                put_varint(&mut again, value);
                prop_assert!(again.len() <= 10);
            }
        }
    }

    #[test]
    fn varint_refuses_long_forms_and_overflow() {
        for bad in
            [&[0x80, 0][..], &[0xff; 10], &[0x80; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert!(Cursor::new(bad, "test").varint().is_err(), "{bad:?}");
        }
        assert_eq!(Cursor::new(&[0], "test").varint(), Ok(0));
    }

    #[test]
    fn count_is_bounded_by_the_input() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        assert!(Cursor::new(&out, "test").count(1).is_err());
        assert!(Cursor::new(&[2, 0], "test").count(1).is_err());
        assert_eq!(Cursor::new(&[1, 0], "test").count(1), Ok(1));
    }
}
