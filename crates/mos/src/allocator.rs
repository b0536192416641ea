//! The memory allocator and how soon it gives memory back.
//!
//! A server that served a burst of large lists should not keep their memory: freed pages go back to
//! the system after two seconds, by a thread of the allocator's own, so that no request pays for it.
//! Arenas are few because each keeps pages of its own.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const OPTIONS: &[u8; 70] =
    b"background_thread:true,dirty_decay_ms:2000,muzzy_decay_ms:0,narenas:8\0";

/// Read by the allocator before `main`.
// SAFETY: the allocator declares this symbol as a `const char *`; a reference to an array is such a
// pointer, and the array ends with a zero byte. No other item has this name.
#[allow(unsafe_code)]
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static MALLOC_CONF: &[u8; 70] = OPTIONS;
