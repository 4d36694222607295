//! `#[plywood::test]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, ItemFn, Result};

/// What is said of an `async` function.
const ASYNC: &str = "an async test takes a runtime, and plywood brings none: make it a plain `fn`, and run the future in it \
                     with `block_on` of your runtime";

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if let Some(argument) = arguments.into_iter().next() {
        return Err(Error::new(argument.span(), "`#[plywood::test]` takes no arguments"));
    }
    let function: ItemFn =
        syn::parse2(item).map_err(|error| Error::new(error.span(), "`#[plywood::test]` stands on a function"))?;
    check(&function)?;
    let ItemFn { attrs, vis, sig, block, .. } = &function;
    let (name, output, inputs) = (&sig.ident, &sig.output, &sig.inputs);
    let mut parameters = Vec::new();
    for input in inputs {
        match input {
            FnArg::Typed(typed) => {
                let ty = &typed.ty;
                // The compiler shows the type if a test cannot be given one.
                parameters.push(quote_spanned!(ty.span()=> ::plywood::testing::parameter::<#ty>(test)));
            }
            FnArg::Receiver(receiver) => {
                return Err(Error::new(receiver.span(), "a test is a function of its own, without `self`"));
            }
        }
    }
    let names: Vec<_> = (0..parameters.len()).map(|number| format_ident!("parameter_{number}")).collect();
    Ok(quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #name() #output {
            fn body(#inputs) #output #block
            ::plywood::testing::run(::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)), |test| {
                #(let #names = #parameters;)*
                body(#(#names),*)
            })
        }
    })
}

fn check(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        return Err(Error::new(token.span(), ASYNC));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.generics.span(), "a test has no generic parameters"));
    }
    let is_test = |attribute: &&syn::Attribute| attribute.path().is_ident("test");
    match function.attrs.iter().find(is_test) {
        Some(attribute) => {
            Err(Error::new(attribute.span(), "`#[plywood::test]` is a test already: leave `#[test]` out"))
        }
        None => Ok(()),
    }
}
