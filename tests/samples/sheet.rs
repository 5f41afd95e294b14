//! A second hand that lays out bytes and, beside them, says in words what they are.

/// Bytes as they grow, what each field is, and where the counts and lengths stand.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    pub bytes: Vec<u8>,
    pub words: Vec<String>,
    /// Offsets of each u64 count of items or length of a byte string.
    pub counts: Vec<usize>,
    /// Offsets of each u32 that chooses a variant.
    pub choices: Vec<usize>,
    /// Offsets of each byte that says whether an option is there.
    pub options: Vec<usize>,
    /// Offsets of each signature.
    pub signatures: Vec<usize>,
    inside: Vec<String>,
}

impl Sheet {
    fn say(&mut self, name: &str, what: &str) {
        let path: Vec<&str> = self.inside.iter().map(String::as_str).chain([name]).collect();
        self.words.push(format!("{} = {what}", path.join(".")));
    }

    pub fn within(&mut self, name: &str, lay: impl FnOnce(&mut Self)) {
        self.inside.push(name.to_owned());
        lay(self);
        self.inside.pop();
    }

    pub fn u32(&mut self, name: &str, number: u32) {
        self.say(name, &number.to_string());
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub fn u64(&mut self, name: &str, number: u64) {
        self.say(name, &number.to_string());
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub fn choice(&mut self, name: &str, number: u32, variant: &str) {
        self.say(name, &format!("{number} ({variant})"));
        self.choices.push(self.bytes.len());
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub fn count(&mut self, name: &str, count: usize) {
        self.say(&format!("{name}.count"), &count.to_string());
        self.counts.push(self.bytes.len());
        self.bytes.extend_from_slice(&(count as u64).to_le_bytes());
    }

    pub fn fixed(&mut self, name: &str, bytes: &[u8]) {
        self.say(name, &hex(bytes));
        if bytes.len() == 64 {
            self.signatures.push(self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub fn string(&mut self, name: &str, bytes: &[u8]) {
        self.say(name, &format!("{} bytes {}", bytes.len(), hex(bytes)));
        self.counts.push(self.bytes.len());
        self.bytes.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    pub fn option<T>(&mut self, name: &str, value: Option<T>, lay: impl FnOnce(&mut Self, T)) {
        self.options.push(self.bytes.len());
        match value {
            None => {
                self.say(name, "none");
                self.bytes.push(0);
            }
            Some(value) => {
                self.bytes.push(1);
                self.within(name, |sheet| lay(sheet, value));
            }
        }
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
