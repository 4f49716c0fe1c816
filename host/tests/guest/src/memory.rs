//! The whole of a sandbox's memory, as a guest that looks everywhere sees it.

use core::arch::wasm32::{memory_grow, memory_size};
use std::ptr;

const PAGE_BYTES: usize = 64 << 10;

/// Secrets come masked with this, so that looking for one does not put it into memory.
const MASK: u8 = 0x5a;

/// Grows the memory to that many bytes; whether it was allowed to.
pub(crate) fn grow_to(bytes: usize) -> bool {
    let pages = bytes.div_ceil(PAGE_BYTES).saturating_sub(memory_size(0));
    memory_grow(0, pages) != usize::MAX
}

/// Reads the byte behind the memory's end.
pub(crate) fn out_of_bounds() -> u8 {
    read(memory_size(0) * PAGE_BYTES)
}

/// `BYTES-SECRET`: grows the memory to that many bytes and writes the secret again and
/// again over all that is new. Returns how often.
pub(crate) fn fill(argument: &str) -> usize {
    let (bytes, secret) = bytes_and_secret(argument);
    let start = memory_size(0) * PAGE_BYTES;
    assert!(grow_to(bytes), "the memory may not grow to {bytes}");
    let end = memory_size(0) * PAGE_BYTES;
    let starts = (start..=end - secret.len()).step_by(secret.len());
    starts
        .map(|start| {
            for (at, masked) in (start..).zip(&secret) {
                let place = ptr::with_exposed_provenance_mut::<u8>(at);
                // SAFETY: nothing else uses memory that has just come.
                unsafe { place.write_volatile(masked ^ MASK) };
            }
        })
        .count()
}

/// `BYTES-SECRET`: grows the memory to that many bytes and looks for the secret in all of
/// it.
pub(crate) fn find(argument: &str) -> String {
    let (bytes, secret) = bytes_and_secret(argument);
    assert!(grow_to(bytes), "the memory may not grow to {bytes}");
    let end = memory_size(0) * PAGE_BYTES;
    let is_here = |start: usize| {
        let mut pairs = (start..).zip(&secret);
        pairs.all(|(at, masked)| read(at) ^ MASK == *masked)
    };
    // Address 0 is null, and nothing is there.
    match (1..=end - secret.len()).find(|start| is_here(*start)) {
        Some(_) => "found".to_owned(),
        None => format!("not found in {end} bytes"),
    }
}

fn read(address: usize) -> u8 {
    let place = ptr::with_exposed_provenance::<u8>(address);
    // SAFETY: every byte of the memory can be read, and behind its end the engine traps.
    unsafe { place.read_volatile() }
}

/// A number, and a secret that stays masked.
fn bytes_and_secret(argument: &str) -> (usize, Vec<u8>) {
    let (bytes, secret) = argument.split_once('-').expect("BYTES-SECRET");
    let digits = secret.as_bytes().chunks(2);
    let masked = digits.map(|two| {
        let two = std::str::from_utf8(two).expect("digits");
        u8::from_str_radix(two, 16).expect("hexadecimal digits")
    });
    (bytes.parse().expect("a number"), masked.collect())
}
