//! Values under small numbers that are never mistaken for an earlier value's.

#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// The key has the slot below and a count of its uses above.
    pub fn insert(&mut self, value: T) -> u64 {
        let key = self.reserve();
        self.fill(key, value);
        key
    }

    /// A key for a value that is made with it in hand; [`Slab::fill`] or [`Slab::remove`] follows.
    pub fn reserve(&mut self) -> u64 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            (self.entries.len() - 1) as u32
        });
        let entry = &mut self.entries[slot as usize];
        entry.0 = entry.0.wrapping_add(1);
        u64::from(entry.0) << 32 | u64::from(slot)
    }

    pub fn fill(&mut self, key: u64, value: T) {
        if let Some(entry) = self.entries.get_mut(key as u32 as usize) {
            entry.1 = Some(value);
        }
    }

    pub fn get(&self, key: u64) -> Option<&T> {
        let (uses, value) = self.entries.get(key as u32 as usize)?;
        value.as_ref().filter(|_| u64::from(*uses) == key >> 32)
    }

    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let (uses, value) = self.entries.get_mut(key as u32 as usize)?;
        value.as_mut().filter(|_| u64::from(*uses) == key >> 32)
    }

    pub fn remove(&mut self, key: u64) -> Option<T> {
        let (uses, value) = self.entries.get_mut(key as u32 as usize)?;
        if u64::from(*uses) != key >> 32 {
            return None;
        }
        let taken = value.take();
        // One use of a slot ends once: the count moves on, so that the key is dead from here.
        *uses = uses.wrapping_add(1);
        self.free.push(key as u32);
        taken
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries.iter().enumerate().filter_map(|(slot, (uses, value))| {
            Some((u64::from(*uses) << 32 | slot as u64, value.as_ref()?))
        })
    }
}
