//! Memory that is touched before it is needed.
//!
//! The first use of a page makes the system, and on a rented machine its host too, find and clear one: milliseconds
//! for each two megabytes, in the middle of a decision. So a reserve is taken, touched and given back to the allocator,
//! which from then on keeps what it has.

/// Time until unused memory goes back to the system, in mimalloc's numbering of options; below zero: never.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
const BLOCK: usize = 1 << 20;
const PAGE: usize = 4096;

/// Has at least so many MiB ready for what comes.
pub fn reserve(mebibytes: usize) {
    if mebibytes == 0 {
        return;
    }
    keep();
    let touched = |_| {
        let mut block = vec![0u8; BLOCK];
        block.iter_mut().step_by(PAGE).for_each(|octet| *octet = 1);
        block
    };
    let reserve: Vec<Vec<u8>> = (0..mebibytes).map(touched).collect();
    drop(std::hint::black_box(reserve));
}

/// The allocator keeps what it has once had.
#[allow(unsafe_code)]
fn keep() {
    // SAFETY: sets one number that the allocator reads; any number is a valid value of this option.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}
