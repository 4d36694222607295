//! `#[plywood::test]`.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, ItemFn, LitInt, LitStr, Result, Token};

/// Whether plywood was built with its feature `tokio`.
pub(crate) const HAS_RUNTIME: bool = cfg!(feature = "tokio");

/// What is said of an `async` function without it.
const NO_RUNTIME: &str = "an async test runs on tokio: enable the feature `tokio` of plywood, as in `plywood = { version = \
                          \"0.1\", features = [\"tokio\"] }`, or make it a plain `fn`";

/// What the attribute says, in the words of `#[tokio::test]`.
#[derive(Default)]
struct Arguments {
    /// Where the first one stands.
    first: Option<Ident>,
    multi_thread: bool,
    worker_threads: Option<LitInt>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            match name.to_string().as_str() {
                "flavor" => {
                    input.parse::<Token![=]>()?;
                    let flavor: LitStr = input.parse()?;
                    arguments.multi_thread = match flavor.value().as_str() {
                        "current_thread" => false,
                        "multi_thread" => true,
                        _ => {
                            let message = "the flavor of a runtime is `current_thread`, the default, or `multi_thread`";
                            return Err(Error::new(flavor.span(), message));
                        }
                    };
                }
                "worker_threads" => {
                    input.parse::<Token![=]>()?;
                    let number: LitInt = input.parse()?;
                    if number.base10_parse::<usize>()? == 0 {
                        return Err(Error::new(number.span(), "a runtime has at least one worker thread"));
                    }
                    arguments.worker_threads = Some(number);
                }
                _ => {
                    let message = "a test knows `flavor = \"…\"` and `worker_threads = …`, if it is `async`";
                    return Err(Error::new(name.span(), message));
                }
            }
            arguments.first.get_or_insert(name);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        match &arguments.worker_threads {
            Some(number) if !arguments.multi_thread => {
                Err(Error::new(number.span(), "only a runtime of `flavor = \"multi_thread\"` has worker threads"))
            }
            _ => Ok(arguments),
        }
    }
}

/// `has_runtime`: whether there is one for `async` functions.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream, has_runtime: bool) -> Result<TokenStream> {
    let arguments: Arguments = syn::parse2(arguments)?;
    let function: ItemFn =
        syn::parse2(item).map_err(|error| Error::new(error.span(), "`#[plywood::test]` stands on a function"))?;
    check(&function, &arguments, has_runtime)?;
    let ItemFn { attrs, vis, sig, block, .. } = &function;
    let (name, output, inputs, is_async) = (&sig.ident, &sig.output, &sig.inputs, &sig.asyncness);
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
    let call = quote!(body(#(#names),*));
    let call = match (is_async, arguments.multi_thread, &arguments.worker_threads) {
        (None, ..) => call,
        (Some(_), false, _) => quote!(::plywood::testing::block_on(#call)),
        (Some(_), true, Some(number)) => {
            quote!(::plywood::testing::block_on_threads(::core::option::Option::Some(#number), #call))
        }
        (Some(_), true, None) => quote!(::plywood::testing::block_on_threads(::core::option::Option::None, #call)),
    };
    Ok(quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #name() #output {
            #is_async fn body(#inputs) #output #block
            ::plywood::testing::run(::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)), |test| {
                #(let #names = #parameters;)*
                #call
            })
        }
    })
}

fn check(function: &ItemFn, arguments: &Arguments, has_runtime: bool) -> Result<()> {
    let signature = &function.sig;
    match (&signature.asyncness, &arguments.first) {
        (Some(token), _) if !has_runtime => return Err(Error::new(token.span(), NO_RUNTIME)),
        (None, Some(argument)) => {
            let message = "what is said here is of the runtime of an `async fn`; a plain one takes no arguments";
            return Err(Error::new(argument.span(), message));
        }
        _ => {}
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
