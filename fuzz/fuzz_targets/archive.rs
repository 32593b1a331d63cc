//! What a file on the mount may hold.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

#[global_allocator]
static MEMORY: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, checks::MEMORY_LIMIT);

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::archive::check(data));
