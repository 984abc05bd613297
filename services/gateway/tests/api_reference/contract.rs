//! The contract with its comments.

use std::collections::HashMap;

use modash_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{
    DescriptorPool, EnumDescriptor, EnumValueDescriptor, FieldDescriptor, FileDescriptor,
    MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

/// Descriptors of the package `modash.v1`.
pub(crate) struct Contract {
    pool: DescriptorPool,
    /// Leading comments, by file and place in the file.
    comments: HashMap<(String, Vec<i32>), String>,
}

/// Something that has a comment.
pub(crate) trait Commented {
    /// Name of its file, and its place there as source code info has it.
    fn place(&self) -> (FileDescriptor, Vec<i32>);
    /// Name with all that it is in.
    fn name(&self) -> String;
}

macro_rules! commented {
    ($($descriptor:ty),*) => {
        $(impl Commented for $descriptor {
            fn place(&self) -> (FileDescriptor, Vec<i32>) {
                (self.parent_file(), self.path().to_vec())
            }

            fn name(&self) -> String {
                self.full_name().to_owned()
            }
        })*
    };
}

commented!(
    EnumDescriptor,
    EnumValueDescriptor,
    FieldDescriptor,
    MessageDescriptor,
    MethodDescriptor,
    ServiceDescriptor
);

impl Contract {
    /// Reads the descriptors that come with the generated code.
    pub(crate) fn new() -> Self {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
        let mut comments = HashMap::new();
        for file in pool.file_descriptor_protos() {
            let places = file.source_code_info.iter().flat_map(|info| &info.location);
            for place in places.filter(|place| place.leading_comments.is_some()) {
                let key = (file.name().to_owned(), place.path.clone());
                comments.insert(key, paragraphs(place.leading_comments()));
            }
        }
        Self { pool, comments }
    }

    /// The comment on a descriptor as paragraphs without line breaks.
    pub(crate) fn comment(&self, of: &impl Commented) -> &str {
        let (file, path) = of.place();
        self.comments.get(&(file.name().to_owned(), path)).map_or("", String::as_str)
    }

    /// The comment in one line, for a table.
    pub(crate) fn line(&self, of: &impl Commented) -> String {
        self.comment(of).replace("\n\n", " ").replace('|', "\\|")
    }

    /// The files of the package, those that others import first.
    pub(crate) fn files(&self) -> impl Iterator<Item = FileDescriptor> + '_ {
        self.pool.files().filter(|file| file.package_name() == "modash.v1")
    }

    /// The service that answers queries.
    pub(crate) fn queries(&self) -> ServiceDescriptor {
        self.pool.get_service_by_name("modash.v1.AnalyticsService").unwrap()
    }

    /// Names of the parts that have no comment.
    pub(crate) fn without_comment(&self) -> Vec<String> {
        let mut silent = Vec::new();
        for file in self.files() {
            for service in file.services() {
                self.look(&service, &mut silent);
                service.methods().for_each(|method| self.look(&method, &mut silent));
            }
            for message in file.messages() {
                self.look(&message, &mut silent);
                message.fields().for_each(|field| self.look(&field, &mut silent));
            }
            for names in file.enums() {
                self.look(&names, &mut silent);
                names.values().for_each(|value| self.look(&value, &mut silent));
            }
        }
        silent
    }

    fn look(&self, of: &impl Commented, silent: &mut Vec<String>) {
        if self.comment(of).is_empty() {
            silent.push(of.name());
        }
    }
}

/// Undoes the line breaks of a comment; an empty line ends a paragraph.
fn paragraphs(comment: &str) -> String {
    let lines: Vec<_> = comment.lines().map(str::trim).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    paragraphs.map(|lines| lines.join(" ")).collect::<Vec<_>>().join("\n\n")
}
