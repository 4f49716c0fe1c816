//! Memory for one request at a time: handed out from the bottom up, and all of it free
//! again when the last piece is returned, at the end of the request.
//!
//! A general allocator keeps lists for pieces that come and go; here everything goes at
//! once. And it grows the memory at its first use, which costs a new sandbox more than
//! its whole request does.

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    ptr,
};

#[global_allocator]
static ALLOCATOR: Bump = Bump {
    next: Cell::new(0),
    pieces: Cell::new(0),
};

const PAGE_BYTES: usize = 64 * 1024;

struct Bump {
    /// The lowest address that is free; 0 before the first piece.
    next: Cell<usize>,
    /// Pieces that were handed out and not returned.
    pieces: Cell<usize>,
}

// SAFETY: there is one thread in a sandbox, and there are no others to share it with:
// the component is built without atomics.
unsafe impl Sync for Bump {}

/// Where the linker put the end of everything that is not heap.
fn heap_base() -> usize {
    unsafe extern "C" {
        static __heap_base: u8;
    }
    // Only the address is taken; wasm-ld defines the symbol.
    &raw const __heap_base as usize
}

impl Bump {
    /// The end of `size` bytes from `start`, with the memory grown to hold them.
    fn make_room(&self, start: usize, size: usize) -> Option<usize> {
        let end = start.checked_add(size)?;
        let memory_end = core::arch::wasm32::memory_size(0) * PAGE_BYTES;
        if end > memory_end {
            let pages = (end - memory_end).div_ceil(PAGE_BYTES);
            if core::arch::wasm32::memory_grow(0, pages) == usize::MAX {
                return None;
            }
        }
        Some(end)
    }
}

// SAFETY: a piece starts at `next`, aligned, and `next` moves behind it; it moves back
// only over the last piece, or to the start when no piece is left.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let next = match self.next.get() {
            0 => heap_base(),
            next => next,
        };
        let Some(start) = next.checked_next_multiple_of(layout.align()) else {
            return ptr::null_mut();
        };
        let Some(end) = self.make_room(start, layout.size()) else {
            return ptr::null_mut();
        };
        self.next.set(end);
        self.pieces.set(self.pieces.get() + 1);
        start as *mut u8
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        self.pieces.set(self.pieces.get() - 1);
        if self.pieces.get() == 0 {
            self.next.set(heap_base());
        } else if piece as usize + layout.size() == self.next.get() {
            self.next.set(piece as usize);
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // The last piece, such as a buffer that is being filled, grows where it is.
        if piece as usize + layout.size() == self.next.get() {
            let Some(end) = self.make_room(piece as usize, new_size) else {
                return ptr::null_mut();
            };
            self.next.set(end);
            return piece;
        }
        if new_size <= layout.size() {
            return piece;
        }
        // SAFETY: the caller promises a valid piece and size; the new piece is another
        // one and larger.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(piece, moved, layout.size());
                self.dealloc(piece, layout);
            }
            moved
        }
    }
}
