//! tenfour-store
