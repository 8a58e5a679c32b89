//! The ledger against its model, in both stores.

use tenfour_checker::each_seed;
use tenfour_fuzz::{QUOTA, play};
use tenfour_proto::Durability;
use tenfour_store::{MemoryStore, SqliteOptions, SqliteStore};

#[test]
fn both_stores_say_what_the_model_says() {
    each_seed(60, 5_000, |dice| {
        let mut same = dice.clone();
        play(&mut MemoryStore::default().with_anonymous_quota(QUOTA), dice, 30);
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions {
            durability: Durability::Os,
            anonymous_quota: Some(QUOTA),
        };
        let path = folder.path().join("store.db");
        play(&mut SqliteStore::open(path, options).unwrap(), &mut same, 30);
    });
}
