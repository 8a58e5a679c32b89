#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| tenfour_fuzz::commits(input));
