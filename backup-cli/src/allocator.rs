//! A setting of the C library's allocator, which is the process's own business and so the binary's.

/// Blocks from this size on go back to the system when they are freed: buffers and packs, of which a few are held at a time. What comes
/// and goes by the thousand is smaller.
const RETURNED_BYTES: libc::c_int = 1 << 20;

/// Keeps the allocator from holding on to the memory of large blocks.
///
/// Left alone, it raises that size to that of each large block that is freed, so that soon all packs come from the heaps of threads,
/// which keep what they once had: a check of a million small files then took 200 MiB for what fits 85 (decision 0009).
#[expect(
    unsafe_code,
    reason = "no safe crate has this call, and an environment variable would have to be there before the start"
)]
pub(crate) fn return_large_blocks() {
    // SAFETY: the call takes two numbers, and no other thread runs yet. A refusal leaves everything as it was.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, RETURNED_BYTES) };
}
