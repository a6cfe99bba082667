use super::*;

/// A write of `sectors` sectors at a sector, all of one byte.
fn write(platter: &mut Platter, sector: u64, sectors: usize, byte: u8) {
    platter.write(sector * SECTOR_BYTES as u64, &vec![byte; sectors * SECTOR_BYTES]);
}

/// The first byte of each sector; each must hold one byte throughout.
fn sectors(platter: &Platter, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count * SECTOR_BYTES];
    platter.read(0, &mut bytes);
    let one = |sector: &[u8]| {
        assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn");
        sector[0]
    };
    bytes.chunks(SECTOR_BYTES).map(one).collect()
}

/// Goal: readers see what was written last, across pages and where nothing was written.
#[test]
fn reads_give_what_was_written_last() {
    let mut platter = Platter::default();
    write(&mut platter, 7, 4, 1);
    write(&mut platter, 8, 1, 2);
    assert_eq!(sectors(&platter, 12), [0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 1, 0]);
    let mut odd = [9; 6];
    platter.read(7 * 512 - 3, &mut odd);
    assert_eq!(odd, [0, 0, 0, 1, 1, 1]);
}

/// Goal: what was flushed survives every cut; what was not survives as the kind of survival says.
#[test]
fn a_cut_keeps_what_was_flushed() {
    for seed in 0..2_000 {
        let mut dice = Dice::new(seed);
        let mut platter = Platter::default();
        write(&mut platter, 0, 16, 1);
        platter.flush(platter.written());
        write(&mut platter, 0, 4, 2);
        write(&mut platter, 2, 4, 3);
        let survival = Survival::draw(&mut dice);
        let cut = platter.cut(survival, &mut dice);
        let found = sectors(&platter, 16);
        assert_eq!(found[6..], [1; 10], "seed {seed}");
        assert!(found[..2].iter().all(|byte| [1, 2].contains(byte)), "seed {seed}: {found:?}");
        assert!(found[4..6].iter().all(|byte| [1, 3].contains(byte)), "seed {seed}: {found:?}");
        assert_eq!((cut.writes, cut.kept + cut.lost), (2, 8), "seed {seed}");
        match survival {
            Survival::Nothing => assert_eq!((found[..6].to_vec(), cut.kept), (vec![1; 6], 0)),
            Survival::Everything => assert_eq!((found[..6].to_vec(), cut.lost), (vec![2, 2, 3, 3, 3, 3], 0)),
            Survival::Prefix => assert!(cut.torn <= 1, "seed {seed}: {cut:?}"),
            Survival::Writes => assert_eq!(cut.torn, 0, "seed {seed}"),
            Survival::Sectors(_) => {}
        }
        // What has survived once stays.
        platter.cut(Survival::Nothing, &mut dice);
        assert_eq!(sectors(&platter, 16), found, "seed {seed}");
    }
}

/// Goal: a flush covers what was written before it was asked for, and not what came while it was under way.
#[test]
fn a_flush_covers_what_came_before_it() {
    let mut platter = Platter::default();
    write(&mut platter, 0, 2, 1);
    let asked = platter.written();
    write(&mut platter, 1, 2, 2);
    platter.flush(asked);
    platter.flush(asked);
    assert_eq!(sectors(&platter, 4), [1, 2, 2, 0]);
    platter.cut(Survival::Nothing, &mut Dice::new(0));
    assert_eq!(sectors(&platter, 4), [1, 1, 0, 0]);
    // What a flush of the last life would have covered is gone; it harms nobody.
    platter.flush(asked);
    write(&mut platter, 3, 1, 3);
    platter.flush(platter.written());
    platter.cut(Survival::Nothing, &mut Dice::new(0));
    assert_eq!(sectors(&platter, 4), [1, 1, 0, 3]);
}

/// Goal: the kinds of survival are all drawn, and a cut tears and reorders: a later write survives without an earlier one.
#[test]
fn cuts_tear_and_reorder() {
    let (mut torn, mut reordered, mut lost_all) = (0, 0, 0);
    for seed in 0..1_000 {
        let mut dice = Dice::new(seed);
        let mut platter = Platter::default();
        write(&mut platter, 0, 8, 1);
        write(&mut platter, 8, 8, 2);
        let survival = Survival::draw(&mut dice);
        let cut = platter.cut(survival, &mut dice);
        let found = sectors(&platter, 16);
        torn += cut.torn;
        reordered += usize::from(found[..8] == [0; 8] && found[8..].contains(&2));
        lost_all += usize::from(cut.kept == 0);
    }
    assert!(torn > 100 && reordered > 20 && lost_all > 50, "torn {torn}, reordered {reordered}, lost {lost_all}");
}

/// Goal: a seed gives the same cut twice.
#[test]
fn a_seed_says_what_survives() {
    let survivors = |seed| {
        let mut platter = Platter::default();
        for at in 0..20 {
            write(&mut platter, at * 3, 5, at as u8 + 1);
        }
        let cut = platter.cut(Survival::Sectors(8), &mut Dice::new(seed));
        (sectors(&platter, 64), cut)
    };
    assert_eq!(survivors(7), survivors(7));
    assert_ne!(survivors(7).0, survivors(8).0);
}
