#![no_main]

#[global_allocator]
static ALLOCATOR: logothete_fuzz::heap::Counting = logothete_fuzz::heap::Counting;

libfuzzer_sys::fuzz_target!(|data: &[u8]| logothete_fuzz::twins::run(data));
