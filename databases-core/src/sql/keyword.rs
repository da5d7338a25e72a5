//! The words that the scanner knows, found by one probe of a table that is built at compile time.

macro_rules! keywords {
    ($($variant:ident $word:literal,)*) => {
        /// A word that means something to the scanner; `None` is any other.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Kw { None, $($variant),* }

        const WORDS: &[(&[u8], Kw)] = &[$(($word, Kw::$variant)),*];
    };
}

keywords! {
    Abort b"abort", Alter b"alter", Analyse b"analyse", Analyze b"analyze", And b"and", As b"as", Atomic b"atomic",
    Attach b"attach", Begin b"begin", By b"by", Call b"call", Case b"case", Characteristics b"characteristics",
    Close b"close", Cluster b"cluster", Comment b"comment", Commit b"commit", Copy b"copy", Create b"create",
    Data b"data", Database b"database", Deallocate b"deallocate", Declare b"declare", Definer b"definer",
    Delete b"delete", Desc b"desc", Describe b"describe", Detach b"detach", Deterministic b"deterministic",
    Discard b"discard", Distinct b"distinct", Do b"do", Drop b"drop", Dumpfile b"dumpfile", Else b"else", End b"end",
    Event b"event", Execute b"execute", Exists b"exists", Explain b"explain", Fetch b"fetch", For b"for",
    From b"from", Function b"function", Global b"global", Grant b"grant", Handler b"handler", Having b"having",
    If b"if", Ignore b"ignore", Import b"import", In b"in", Index b"index", Insert b"insert", Into b"into",
    Invoker b"invoker", Key b"key", Lateral b"lateral", Listen b"listen", Load b"load", Local b"local", Lock b"lock",
    Loop b"loop", LowPriority b"low_priority", Merge b"merge", Move b"move", No b"no", Not b"not", Notify b"notify",
    On b"on", Only b"only", Optimize b"optimize", Or b"or", Outfile b"outfile", Pragma b"pragma",
    Prepare b"prepare", Procedure b"procedure", Reassign b"reassign", Recursive b"recursive", Refresh b"refresh",
    Reindex b"reindex", Release b"release", Rename b"rename", Repair b"repair", Repeat b"repeat",
    Replace b"replace", Reset b"reset", Returning b"returning", Revoke b"revoke", Rollback b"rollback", Row b"row",
    Savepoint b"savepoint", Schema b"schema", Security b"security", Select b"select", Sequence b"sequence",
    Session b"session", Set b"set", Share b"share", Show b"show", Sql b"sql", Start b"start", Table b"table",
    Temp b"temp", Temporary b"temporary", Then b"then", Transaction b"transaction", Trigger b"trigger",
    Truncate b"truncate", Unlisten b"unlisten", Unlock b"unlock", Unlogged b"unlogged", Update b"update", Use b"use",
    User b"user", Vacuum b"vacuum", Value b"value", Values b"values", View b"view", When b"when", Where b"where",
    While b"while", With b"with", Xa b"xa", Xml b"xml",
}

const SHORTEST: usize = 2;
const LONGEST: usize = 15;
const SLOTS: usize = 1024;

/// Mixes the length and three letters; letter case does not matter.
#[inline]
const fn hash(word: &[u8]) -> usize {
    let first = (word[0] | 0x20) as usize;
    let second = (word[1] | 0x20) as usize;
    let last = (word[word.len() - 1] | 0x20) as usize;
    let middle = (word[word.len() / 2] | 0x20) as usize;
    (first.wrapping_mul(31)
        ^ second.wrapping_mul(263)
        ^ last.wrapping_mul(1009)
        ^ middle.wrapping_mul(4517)
        ^ (word.len() << 5))
        % SLOTS
}

/// Indices into `WORDS`, plus one; a taken slot moves on to the next.
static TABLE: [u8; SLOTS] = {
    let mut table = [0; SLOTS];
    // A byte that overflows here does not compile.
    let mut index: u8 = 0;
    while (index as usize) < WORDS.len() {
        let word = WORDS[index as usize].0;
        assert!(word.len() >= SHORTEST && word.len() <= LONGEST);
        let mut slot = hash(word);
        while table[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        index += 1;
        table[slot] = index;
    }
    table
};

impl Kw {
    /// The keyword that `word` spells, in any letter case.
    #[inline]
    pub(super) fn of(word: &[u8]) -> Self {
        if word.len() < SHORTEST || word.len() > LONGEST {
            return Self::None;
        }
        let mut slot = hash(word);
        loop {
            let index = TABLE[slot] as usize;
            if index == 0 {
                return Self::None;
            }
            let (known, keyword) = WORDS[index - 1];
            if word.eq_ignore_ascii_case(known) {
                return keyword;
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kw, LONGEST, WORDS};

    #[test]
    fn every_word_is_found_in_any_letter_case() {
        for &(word, keyword) in WORDS {
            assert_eq!(Kw::of(word), keyword);
            assert_eq!(Kw::of(&word.to_ascii_uppercase()), keyword);
        }
        assert_eq!(WORDS.iter().map(|(word, _)| word.len()).max(), Some(LONGEST));
    }

    #[test]
    fn other_words_are_none() {
        for word in ["", "a", "i", "inn", "selec", "selects", "users", "имя", "characteristicss"] {
            assert_eq!(Kw::of(word.as_bytes()), Kw::None, "{word}");
        }
    }
}
