//! Tree → calls of the builder. Cannot fail: what is wrong was reported before.

mod instruction;

use plywood_syntax::ast::{Body, Instruction, Named, Text};
use plywood_syntax::finding::Severity;
use plywood_syntax::port;
use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote};

use crate::parse::{Definition, Header};
use crate::{context, file, report};

pub(crate) fn definition(definition: &Definition) -> TokenStream {
    // An editor takes the first token that stands where the cursor is.
    let mut messages = TokenStream::new();
    for word in &definition.unknown {
        messages.extend(completion(word));
    }
    messages.extend(report::messages(&definition.findings, &definition.sources));
    messages.extend(file::rebuild(&definition.rebuild_for));
    let failed = definition.findings.iter().any(|finding| finding.severity == Severity::Error);
    match &definition.header {
        Some(header) => item(definition, header, messages, failed),
        // In the place of an expression there is room for one expression only.
        None if failed => quote!({ #messages ::plywood::Layers::new() }),
        None if messages.is_empty() => layers(definition, None),
        None => {
            let layers = layers(definition, None);
            quote!({ #messages #layers })
        }
    }
}

/// Has editors complete a word to the name of an instruction, and show its documentation; the compiler leaves it out.
fn completion(word: &Ident) -> TokenStream {
    quote! {
        #[allow(unexpected_cfgs)]
        const _: () = {
            #[cfg(rust_analyzer)]
            ::plywood::image::keywords::#word;
        };
    }
}

/// The declared type, its names, and what makes it an image.
fn item(definition: &Definition, header: &Header, messages: TokenStream, failed: bool) -> TokenStream {
    let Header { attributes, visibility, name, fields } = header;
    let declaration = match fields {
        Some(fields) => quote!(#attributes #visibility struct #name #fields),
        None => quote!(#attributes #visibility struct #name;),
    };
    let constants = constants(definition, header);
    let names = (!constants.is_empty()).then(|| quote!(impl #name { #constants }));
    // The type and its names exist even if the image is wrong, so that one mistake is one error.
    let body = if failed { quote!(::core::unreachable!()) } else { layers(definition, Some(header)) };
    let declared = fields.is_none().then(|| {
        quote! {
            impl ::plywood::image::DeclaredImage for #name {
                fn declared() -> Self {
                    #name
                }
            }
        }
    });
    quote! {
        #declaration
        #names
        impl ::plywood::ImageDefinition for #name {
            fn layers(&self) -> ::plywood::Layers {
                #body
            }
        }
        #declared
        #messages
    }
}

/// The names given with `as`, each once.
fn constants(definition: &Definition, header: &Header) -> TokenStream {
    let owner = &header.name;
    let mut seen: Vec<&str> = Vec::new();
    let mut out = TokenStream::new();
    let is_file = definition.file.is_some();
    if is_file {
        for (name, word) in file::stage_names(&definition.instructions, Span::call_site()) {
            if !definition.names.iter().any(|instruction| instruction.names(&name)) {
                out.extend(stage_constant(owner, &word, &name));
            }
        }
    }
    for instruction in if is_file { &definition.names } else { &definition.instructions } {
        let named: &[Named] = match &instruction.body {
            Body::From(named) => std::slice::from_ref(named),
            Body::Expose(named) | Body::Volume(named) => named,
            _ => continue,
        };
        for Named { text, name } in named {
            let Some(name) = name.as_ref().filter(|name| !seen.contains(&name.value.as_str())) else { continue };
            seen.push(&name.value);
            let Some(word) = definition.sources.get(name.place).map(|piece| &piece.tokens) else { continue };
            out.extend(match &instruction.body {
                Body::From(_) => stage_constant(owner, word, &name.value),
                Body::Expose(_) => port_constant(owner, word, text),
                _ => {
                    let (doc, path) = (format!("Volume `{}`.", text.value), &text.value);
                    quote! {
                        #[doc = #doc]
                        #[allow(non_upper_case_globals)]
                        pub const #word: ::plywood::MountPoint<#owner> = ::plywood::MountPoint::new(#path);
                    }
                }
            });
        }
    }
    out
}

fn stage_constant(owner: &proc_macro2::Ident, word: &TokenStream, stage: &str) -> TokenStream {
    let doc = format!("Stage `{stage}`.");
    quote! {
        #[doc = #doc]
        #[allow(non_upper_case_globals)]
        pub const #word: ::plywood::Stage<#owner> = ::plywood::Stage::new(#stage);
    }
}

fn port_constant(owner: &proc_macro2::Ident, word: &TokenStream, text: &Text) -> TokenStream {
    // A port that cannot be read was reported, and its name is declared nevertheless.
    let port = port::parse(&text.value).ok();
    let number = Literal::u16_unsuffixed(port.map_or(0, |port| port.first));
    let udp = port.is_some_and(|port| port.protocol == "udp");
    let (doc, protocol) = match udp {
        true => (format!("Port {number}/udp."), quote!(udp)),
        false => (format!("Port {number}/tcp."), quote!(tcp)),
    };
    quote! {
        #[doc = #doc]
        #[allow(non_upper_case_globals)]
        pub const #word: ::plywood::Port<#owner> = ::plywood::Port::#protocol(#number);
    }
}

/// The builder's calls.
fn layers(definition: &Definition, header: Option<&Header>) -> TokenStream {
    let mut chain = quote!(::plywood::Layers::new());
    if let Some(directory) = context::expression(definition.context.as_deref().unwrap_or_default()) {
        chain.extend(quote!(.context(#directory)));
    }
    // Beside it may be its own `.dockerignore`.
    if let Some(path) = definition.file.as_ref().and_then(|file| context::expression(&file.value)) {
        chain.extend(quote!(.of_dockerfile(#path)));
    }
    let expander = instruction::Expander { definition, header };
    let mut statements = TokenStream::new();
    for (instruction, condition) in definition.instructions.iter().zip(&definition.conditions) {
        let call = expander.call(instruction);
        if condition.is_empty() {
            chain.extend(call);
        } else {
            statements.extend(quote!(let layers = #chain; #condition let layers = layers #call;));
            chain = quote!(layers);
        }
    }
    if statements.is_empty() { chain } else { quote!({ #statements #chain }) }
}

/// A string literal at a span.
fn string(value: &str, span: Span) -> TokenStream {
    let mut literal = Literal::string(value);
    literal.set_span(span);
    literal.to_token_stream()
}

fn span_of(definition: &Definition, instruction: &Instruction) -> Span {
    definition.sources.span_of(instruction.place)
}
