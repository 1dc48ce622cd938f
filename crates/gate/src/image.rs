//! Where a program without a loader is to be held: parsing of its ELF file (gABI, chapter 4).
//!
//! A statically linked program begins with the start of its C library, which finds out about the
//! processor and relocates itself: 0.4 ms in a virtual machine, where each of its 43 CPUID leaves
//! the guest. That touches nothing outside of the process, as a loader does not. The first that it
//! calls of the program itself is the section `.init`, before any constructor.

const MAGIC: [u8; 6] = *b"\x7fELF\x02\x01";
const NAME: [u8; 6] = *b".init\0";
const HEADER_OCTETS: usize = 64;
const SECTION_OCTETS: usize = 64;
/// A program has about thirty.
const SECTIONS_MAX: u16 = 256;
const SHT_PROGBITS: u32 = 1;
const SHT_PREINIT_ARRAY: u32 = 16;
/// SHF_ALLOC and SHF_EXECINSTR: code that is in memory while the program runs.
const SHF_CODE: u64 = 2 | 4;

/// Two places in a program, as its file numbers addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Places {
    /// Its entry point.
    pub entry: u64,
    /// What its C library calls first of it.
    pub init: u64,
}

/// Looks for the places in an ELF file for 64 bits, little-endian, of which `read` fills a buffer
/// with what stands at an offset and says whether it could. `None` where there is no section
/// `.init`, or anything of the program is called before it (`.preinit_array`).
pub fn places(mut read: impl FnMut(u64, &mut [u8]) -> bool) -> Option<Places> {
    let mut header = [0; HEADER_OCTETS];
    if !read(0, &mut header) || header[..MAGIC.len()] != MAGIC {
        return None;
    }
    let (entry, table) = (word(&header, 24), word(&header, 40));
    let [size, count, names] = [58, 60, 62].map(|at| half(&header, at));
    if usize::from(size) != SECTION_OCTETS || count > SECTIONS_MAX || names >= count {
        return None;
    }
    let names = word(&section(&mut read, table, names)?, 24);
    let mut init = None;
    for index in 0..count {
        let section = section(&mut read, table, index)?;
        let [name, kind] = [0, 4].map(|at| double(&section, at));
        let [flags, address, octets] = [8, 16, 32].map(|at| word(&section, at));
        if kind == SHT_PREINIT_ARRAY && octets > 0 {
            return None;
        }
        if kind == SHT_PROGBITS && flags & SHF_CODE == SHF_CODE {
            let mut text = [0; NAME.len()];
            if read(names.checked_add(name.into())?, &mut text) && text == NAME {
                init = Some(address);
            }
        }
    }
    init.map(|init| Places { entry, init })
}

/// The entry of a section in their table.
fn section(
    read: &mut impl FnMut(u64, &mut [u8]) -> bool,
    table: u64,
    index: u16,
) -> Option<[u8; SECTION_OCTETS]> {
    let mut octets = [0; SECTION_OCTETS];
    let at = table.checked_add(u64::from(index) * SECTION_OCTETS as u64)?;
    read(at, &mut octets).then_some(octets)
}

fn half(octets: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([octets[at], octets[at + 1]])
}

fn double(octets: &[u8], at: usize) -> u32 {
    u32::from(half(octets, at)) | u32::from(half(octets, at + 2)) << 16
}

fn word(octets: &[u8], at: usize) -> u64 {
    u64::from(double(octets, at)) | u64::from(double(octets, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A file with a section for each name, type, flags and address, and one of their names.
    fn file(sections: &[(&str, u32, u64, u64)]) -> Vec<u8> {
        let mut names = Vec::from(*b"\0");
        let mut table = Vec::new();
        for (name, kind, flags, address) in sections {
            let mut entry = [0; SECTION_OCTETS];
            entry[..4].copy_from_slice(&(names.len() as u32).to_le_bytes());
            entry[4..8].copy_from_slice(&kind.to_le_bytes());
            entry[8..16].copy_from_slice(&flags.to_le_bytes());
            entry[16..24].copy_from_slice(&address.to_le_bytes());
            entry[32] = 8;
            table.extend(entry);
            names.extend(name.bytes().chain([0]));
        }
        let mut entry = [0; SECTION_OCTETS];
        entry[24] = HEADER_OCTETS as u8;
        table.extend(entry);
        let mut octets = Vec::from([0; HEADER_OCTETS]);
        octets[..MAGIC.len()].copy_from_slice(&MAGIC);
        octets[24..26].copy_from_slice(&0x1500_u16.to_le_bytes());
        octets[40] = (HEADER_OCTETS + names.len()) as u8;
        octets[58] = SECTION_OCTETS as u8;
        octets[60] = sections.len() as u8 + 1;
        octets[62] = sections.len() as u8;
        octets.extend(names);
        octets.extend(table);
        octets
    }

    fn places_of(octets: &[u8]) -> Option<Places> {
        places(|at, buffer| {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            let part = octets.get(at..).and_then(|rest| rest.get(..buffer.len()));
            part.map(|part| buffer.copy_from_slice(part)).is_some()
        })
    }

    #[test]
    fn a_static_program_is_held_where_its_library_calls_it_first() {
        let whole = file(&[(".text", 1, 6, 0x1500), (".init", 1, 6, 0x1000), (".data", 1, 3, 9)]);
        assert_eq!(places_of(&whole), Some(Places { entry: 0x1500, init: 0x1000 }));
        for cut in 0..whole.len() {
            assert_eq!(places_of(&whole[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_program_of_another_kind_is_held_at_its_entry_point() {
        for sections in [
            &[(".text", 1, 6, 0x1500)][..],
            // No code.
            &[(".init", 1, 3, 0x1000)],
            // Not in memory.
            &[(".init", 1, 4, 0x1000)],
            &[(".initial", 1, 6, 0x1000)],
            // Called before `.init`.
            &[(".init", 1, 6, 0x1000), (".preinit_array", SHT_PREINIT_ARRAY, 3, 0x2000)],
        ] {
            assert_eq!(places_of(&file(sections)), None, "{sections:?}");
        }
        let mut other = file(&[(".init", 1, 6, 0x1000)]);
        other[4] = 1;
        assert_eq!(places_of(&other), None, "32 bits");
        assert_eq!(places_of(b"#!/bin/sh"), None);
    }
}
