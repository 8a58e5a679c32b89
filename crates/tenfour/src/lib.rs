//! tenfour
