//! How much memory a thread takes, by its allocator's own count.
#![allow(unsafe_code, reason = "an allocator that counts can't be written without")]
#![allow(dead_code, reason = "each who counts needs a part of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub struct Counting;

thread_local! {
    // Of this thread only, so that neither the harness nor another test counts.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // An allocator must not fail while a thread ends.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
        let _ = TAKEN.try_with(|taken| taken.set(taken.get() + usize::try_from(change).unwrap_or_default()));
    });
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Growth is counted as growth: where a large block can't grow in place, its pages are moved, not copied.
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Bytes that this thread holds now.
pub fn held() -> isize {
    HELD.get()
}

/// The most that it held since the last call of this.
pub fn peak() -> isize {
    PEAK.replace(HELD.get())
}

/// What `work` gave, and the most bytes that it held at any time beyond what was held before. 0 where [`Counting`] is not the allocator.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let made = work();
    (made, usize::try_from(PEAK.get() - before).unwrap_or_default())
}

/// The bytes that `work` took one after the other, whatever it gave back in between: a measure of work that no clock disturbs.
pub fn taken_by(work: impl FnOnce()) -> usize {
    let before = TAKEN.get();
    work();
    TAKEN.get() - before
}

/// What input of `length` bytes may take before it is rejected. (SPEC 2.2)
pub fn allowed(length: usize) -> usize {
    2 * length + 64 * 1024
}
