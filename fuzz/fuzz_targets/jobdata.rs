//! What a job may say of itself, with a secret planted in it.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

#[global_allocator]
static MEMORY: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, checks::MEMORY_LIMIT);

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::jobdata::check(data));
