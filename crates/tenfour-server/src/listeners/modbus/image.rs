//! Registers or coils of a unit: what was written, and nothing where nothing was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Addresses that are kept together.
const PAGE: usize = 256;

/// A value for each of 65,536 addresses. Takes memory for the pages that somebody wrote to.
pub(super) struct Image<T>(BTreeMap<u8, Box<[T; PAGE]>>);

impl<T> Default for Image<T> {
    fn default() -> Self {
        Image(BTreeMap::new())
    }
}

impl<T: Copy + Default + PartialEq> Image<T> {
    pub(super) fn set(&mut self, first: u16, values: &[T]) {
        for (address, value) in (first..=u16::MAX).zip(values) {
            let [page, place] = address.to_be_bytes();
            let page = self
                .0
                .entry(page)
                .or_insert_with(|| Box::new([T::default(); PAGE]));
            if let Some(kept) = page.get_mut(usize::from(place)) {
                *kept = *value;
            }
        }
    }

    /// Where nothing was written there is 0, or *off*.
    pub(super) fn get(&self, first: u16, quantity: u16) -> Vec<T> {
        let all = first..=u16::MAX;
        all.take(usize::from(quantity))
            .map(|address| self.at(address))
            .collect()
    }

    fn at(&self, address: u16) -> T {
        let [page, place] = address.to_be_bytes();
        let page = self.0.get(&page);
        page.and_then(|page| page.get(usize::from(place)))
            .copied()
            .unwrap_or_default()
    }

    /// Stretches that are not zero.
    fn stretches(&self) -> Vec<(u16, Vec<T>)> {
        let mut found: Vec<(u16, Vec<T>)> = Vec::new();
        for (page, values) in &self.0 {
            for (place, value) in (0..=u8::MAX).zip(values.iter()) {
                if *value == T::default() {
                    continue;
                }
                let address = u16::from_be_bytes([*page, place]);
                match found.last_mut() {
                    Some((first, values)) if usize::from(*first) + values.len() == usize::from(address) => {
                        values.push(*value);
                    }
                    _ => found.push((address, vec![*value])),
                }
            }
        }
        found
    }
}

/// Registers and coils of a unit.
#[derive(Default)]
pub(super) struct Unit {
    pub(super) registers: Image<u16>,
    pub(super) coils: Image<bool>,
}

/// The same as a message, with the last offset that is in it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) upto: u64,
    registers: Vec<(u16, Vec<u16>)>,
    coils: Vec<(u16, Vec<bool>)>,
}

impl Snapshot {
    pub(super) fn of(unit: &Unit, upto: u64) -> Self {
        Snapshot {
            upto,
            registers: unit.registers.stretches(),
            coils: unit.coils.stretches(),
        }
    }

    pub(super) fn unit(&self) -> Unit {
        let mut unit = Unit::default();
        for (first, values) in &self.registers {
            unit.registers.set(*first, values);
        }
        for (first, values) in &self.coils {
            unit.coils.set(*first, values);
        }
        unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_what_was_there() {
        let mut unit = Unit::default();
        for (address, value) in [
            (0, 1),
            (1, 2),
            (7, 9),
            (255, 5),
            (256, 6),
            (65_534, 3),
            (65_535, 4),
        ] {
            unit.registers.set(address, &[value]);
        }
        unit.coils.set(9, &[true, false, true]);
        let snapshot = Snapshot::of(&unit, 7);
        let stretches = [
            (0, vec![1, 2]),
            (7, vec![9]),
            (255, vec![5, 6]),
            (65_534, vec![3, 4]),
        ];
        assert_eq!(snapshot.registers, stretches);
        assert_eq!(snapshot.coils, [(9, vec![true]), (11, vec![true])]);
        let again = snapshot.unit();
        assert_eq!(again.registers.get(0, u16::MAX), unit.registers.get(0, u16::MAX));
        assert_eq!(again.registers.get(65_534, 2), [3, 4]);
        assert_eq!(again.coils.get(8, 5), [false, true, false, true, false]);
    }

    #[test]
    fn nothing_is_written_behind_the_last_address() {
        let mut image = Image::default();
        image.set(65_535, &[1u16, 2, 3]);
        assert_eq!((image.get(65_535, 1), image.get(0, 2)), (vec![1], vec![0, 0]));
    }
}
