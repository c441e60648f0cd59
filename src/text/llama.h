/* Llama's tokenizer from SentencePiece's file. */
#ifndef OCI_TEXT_LLAMA_H
#define OCI_TEXT_LLAMA_H

#include "text/sentencepiece.h"

/* Puts vocabulary, merges and parts together as Transformers' LlamaConverter does. */
bool oci_llama_convert(oci_loader *in, const oci_spm *spm, const char *path);

#endif
