//! Memory for what hooks are given.
//!
//! Before it calls a hook, the host asks the policy for memory and puts texts and lists there, which are freed when the
//! hook ends. A general allocator touches more memory over this than most hooks do otherwise. So it comes from a small
//! room that is empty again when everything in it has been freed. What hooks themselves ask for, and what finds no
//! place, is the standard allocator's.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// Bytes: nearly all statements are shorter.
const SIZE: usize = 4_096;
const ALIGN: usize = 16;

#[repr(C, align(16))]
struct Bytes([u8; SIZE]);

/// The standard allocator with a room beside it. Of one thread, as a policy's instance is.
pub(crate) struct Room {
    bytes: UnsafeCell<Bytes>,
    /// Where the free rest of the room begins.
    used: Cell<usize>,
    /// How much has been given out of it and not been freed yet.
    out: Cell<usize>,
    /// A hook is running.
    busy: Cell<bool>,
}

// SAFETY: instances of policies have one thread.
#[cfg(target_arch = "wasm32")]
unsafe impl Sync for Room {}

#[cfg(target_arch = "wasm32")]
#[cfg_attr(feature = "allocator", global_allocator)]
static ROOM: Room = Room::new();

/// Runs a hook. What it asks for may stay, and does not come from the room.
#[cfg(target_arch = "wasm32")]
#[inline]
pub fn run<T>(hook: impl FnOnce() -> T) -> T {
    ROOM.run(hook)
}

impl Room {
    const fn new() -> Room {
        Room {
            bytes: UnsafeCell::new(Bytes([0; SIZE])),
            used: Cell::new(0),
            out: Cell::new(0),
            busy: Cell::new(false),
        }
    }

    #[inline]
    fn run<T>(&self, hook: impl FnOnce() -> T) -> T {
        self.busy.set(true);
        let result = hook();
        self.busy.set(false);
        result
    }

    /// Where in the room there is a place.
    #[inline]
    fn place(&self, layout: Layout) -> Option<usize> {
        let at = self.used.get().next_multiple_of(layout.align());
        let fits = layout.align() <= ALIGN && layout.size() <= SIZE.saturating_sub(at);
        (fits && !self.busy.get()).then_some(at)
    }

    #[inline]
    fn holds(&self, memory: *mut u8) -> bool {
        (memory as usize).wrapping_sub(self.bytes.get() as usize) < SIZE
    }
}

// SAFETY: what is given out of the room lies in it (`place`), is aligned as the room is and as its place is, and is given
// out once: `used` only grows until nothing is out any more. Addresses in the room are nobody else's, so all other memory
// is the standard allocator's and goes back to it.
unsafe impl GlobalAlloc for Room {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.place(layout) {
            Some(at) => {
                self.used.set(at + layout.size());
                self.out.set(self.out.get() + 1);
                // SAFETY: it lies in the room.
                unsafe { self.bytes.get().cast::<u8>().add(at) }
            }
            // SAFETY: as the caller sees to.
            None => unsafe { System.alloc(layout) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if self.holds(memory) {
            self.out.set(self.out.get() - 1);
            if self.out.get() == 0 {
                self.used.set(0);
            }
        } else {
            // SAFETY: it does not come from the room, and so from there.
            unsafe { System.dealloc(memory, layout) }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller sees to.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.holds(memory) {
            // SAFETY: it does not come from the room, and so from there.
            return unsafe { System.realloc(memory, layout, size) };
        }
        // SAFETY: the caller sees to it that the size is possible with this alignment, and that the memory is what it was
        // given for this layout; new memory does not overlap with it.
        unsafe {
            let new = System.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(memory, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    #[test]
    fn the_room_is_empty_when_all_has_been_freed() {
        let room = Room::new();
        for _ in 0..3 * SIZE {
            // SAFETY: memory is freed once, with its layout.
            unsafe {
                let (a, b) = (room.alloc(layout(5)), room.alloc(layout(700)));
                assert!(room.holds(a) && room.holds(b));
                assert_eq!(b as usize - a as usize, 8);
                room.dealloc(a, layout(5));
                let c = room.alloc(layout(1));
                assert!(c as usize >= b as usize + 700);
                room.dealloc(c, layout(1));
                room.dealloc(b, layout(700));
            }
        }
    }

    #[test]
    fn what_finds_no_place_is_the_standard_allocators() {
        let room = Room::new();
        // SAFETY: memory is freed once, with its layout.
        unsafe {
            let large = room.alloc(layout(SIZE + 1));
            let whole = room.alloc(layout(SIZE));
            let more = room.alloc(layout(1));
            let zeroed = room.alloc_zeroed(layout(9));
            assert_eq!([large, whole, more].map(|memory| room.holds(memory)), [false, true, false]);
            assert_eq!(*zeroed.add(8), 0);
            for (memory, size) in [(large, SIZE + 1), (whole, SIZE), (more, 1), (zeroed, 9)] {
                room.dealloc(memory, layout(size));
            }
            let aligned = Layout::from_size_align(64, 2 * ALIGN).unwrap();
            let memory = room.alloc(aligned);
            assert!(!room.holds(memory));
            room.dealloc(memory, aligned);
        }
    }

    #[test]
    fn what_a_hook_asks_for_may_stay() {
        let room = Room::new();
        // SAFETY: memory is freed once, with its layout.
        unsafe {
            let argument = room.alloc(layout(3));
            argument.copy_from_nonoverlapping(b"abc".as_ptr(), 3);
            let kept = room.run(|| room.alloc(layout(8)));
            assert!(room.holds(argument) && !room.holds(kept));
            // An argument that is kept moves out when it grows.
            let grown = room.run(|| room.realloc(argument, layout(3), 100));
            assert!(!room.holds(grown));
            assert_eq!(std::slice::from_raw_parts(grown, 3), b"abc");
            assert_eq!((room.used.get(), room.out.get()), (0, 0));
            let regrown = room.realloc(grown, layout(100), 200);
            room.dealloc(regrown, layout(200));
            room.dealloc(kept, layout(8));
        }
    }
}
