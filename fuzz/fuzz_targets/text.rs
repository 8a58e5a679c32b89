#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| tenfour_fuzz::text(input));
