//! `#[plywood::template]`.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, FnArg, GenericArgument, ItemFn, LitStr, PathArguments, Result, ReturnType, Token, Type};

/// What the attribute says.
#[derive(Default)]
struct Arguments {
    files: Vec<LitStr>,
    inputs: Vec<Expr>,
    module: Option<Expr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            match name.to_string().as_str() {
                "files" => {
                    let content;
                    syn::parenthesized!(content in input);
                    arguments.files.extend(Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?);
                }
                "input" => {
                    input.parse::<Token![=]>()?;
                    arguments.inputs.push(input.parse()?);
                }
                "module" => {
                    input.parse::<Token![=]>()?;
                    arguments.module = Some(input.parse()?);
                }
                _ => {
                    return Err(Error::new(
                        name.span(),
                        "a template knows `files(\"…\")`, `input = …` and `module = …`",
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments: Arguments = syn::parse2(arguments)?;
    let function: ItemFn =
        syn::parse2(item).map_err(|error| Error::new(error.span(), "`#[plywood::template]` stands on a function"))?;
    let ItemFn { attrs, vis, sig, block, .. } = &function;
    let service = service(&function)?;
    let kind = module(service)?;
    let (inputs, output, function_name) = (&sig.inputs, &sig.output, &sig.ident);
    let name = format_ident!("{}", camel_case(&function_name.to_string()), span = function_name.span());
    let module = match &arguments.module {
        Some(module) => module.to_token_stream(),
        None => quote_spanned!(kind.span()=> <#kind as ::core::default::Default>::default()),
    };
    // What the function itself says is a version of it.
    let text = quote!(#inputs #output #block).to_string();
    let (files, texts) = (&arguments.files, &arguments.inputs);
    Ok(quote! {
        #(#attrs)*
        #[derive(Debug, Clone)]
        #vis struct #name(#service);

        impl #name {
            /// What prepares it.
            #vis fn template() -> &'static ::plywood::testing::Template<#kind> {
                fn prepare(#inputs) #output #block
                static TEMPLATE: ::std::sync::LazyLock<::plywood::testing::Template<#kind>> =
                    ::std::sync::LazyLock::new(|| {
                        let key = ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#function_name));
                        ::plywood::testing::Template::new(key, #module, prepare)
                            .input(#text)
                            #(.input(#texts))*
                            #(.files(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", #files)))*
                    });
                &TEMPLATE
            }
        }

        impl ::core::ops::Deref for #name {
            type Target = #service;

            fn deref(&self) -> &#service {
                &self.0
            }
        }

        impl ::plywood::testing::FromTest for #name {
            fn from_test(test: &::plywood::testing::Test) -> ::plywood::Result<Self> {
                let service = Self::template().fork(test.engine())?;
                test.watch(&service);
                Ok(Self(service))
            }
        }
    })
}

/// The type of the service: what the one parameter refers to.
fn service(function: &ItemFn) -> Result<&Type> {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        return Err(Error::new(token.span(), "a preparation is a plain `fn`: plywood brings no runtime"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.generics.span(), "a template has no generic parameters"));
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(Error::new(signature.ident.span(), "a preparation returns a `Result<(), …>`: it may fail"));
    }
    let parameters: Vec<_> = signature.inputs.iter().collect();
    if let [FnArg::Typed(parameter)] = parameters.as_slice()
        && let Type::Reference(reference) = &*parameter.ty
        && reference.mutability.is_none()
    {
        return Ok(&reference.elem);
    }
    let span = if signature.inputs.is_empty() { signature.ident.span() } else { signature.inputs.span() };
    Err(Error::new(span, "a preparation has one parameter, the service as `&Service<…>`"))
}

/// The module of a `Service<…>`, by whatever path that is named.
fn module(service: &Type) -> Result<&Type> {
    if let Type::Path(path) = service
        && let Some(last) = path.path.segments.last()
        && last.ident == "Service"
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(module)) = arguments.args.first()
    {
        return Ok(module);
    }
    Err(Error::new(service.span(), "a template prepares a `Service<…>`"))
}

/// `two_words` as `TwoWords`.
fn camel_case(name: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    };
    name.trim_start_matches("r#").split('_').map(capitalised).collect()
}

#[cfg(test)]
mod tests {
    use super::camel_case;

    #[test]
    fn types_have_the_names_of_functions_in_camel_case() {
        for (name, camel) in [("users", "Users"), ("two_words", "TwoWords"), ("_a__b", "AB"), ("r#type", "Type")] {
            assert_eq!(camel_case(name), camel);
        }
    }
}
