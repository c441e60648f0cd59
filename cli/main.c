/* ocelli, the command: picks the function that does the work. Start with the table. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* tests/cli/test_help.sh runs the examples as they stand, in order, in the top folder. */
static const cli_command commands[] = {
    { "read", command_read, "IMAGE... [options]",
      "Prints the text of pictures of printed lines",
      "PNG, JPEG and WebP; - is standard input. Pictures are turned as EXIF says.\n"
      "With several, there is a line of text for each, in their order. --json adds\n"
      "the confidence (geometric mean of its tokens' probabilities), the number of\n"
      "tokens, and ms: decoding it, and its share of the time of its batch.\n"
      "Options of `generate` (--max-new-tokens 20 ...) are taken, too.\n",
      "  ocelli read examples/lines/fox.png\n"
      "  ocelli read --json examples/lines/code.png examples/lines/receipt.jpg\n"
      "  ocelli read --max-new-tokens 20 - < examples/lines/fox.png" },
    { "caption", command_caption, "IMAGE... [options]",
      "Prints a sentence about each picture",
      "The bundled model knows emoji alone; --model takes a folder with another, say\n"
      "vit-gpt2-image-captioning. Everything else is as in `ocelli read`.\n",
      "  ocelli caption examples/scenes/scene-01.png\n"
      "  ocelli caption --json --num-beams 4 --quiet examples/scenes/*.png" },
    { "parse", command_parse, "IMAGE... --model MODEL [options]",
      "Turns pictures of documents into data",
      "A Donut's text is printed as JSON, a Nougat's as the markup that it is. --task\n"
      "names what a Donut was trained for, and with it the prompt: cord-v2 is\n"
      "<s_cord-v2>. Options of `generate` are taken, too; unless they say otherwise,\n"
      "documents are read to the last position of the decoder. --json adds the file,\n"
      "the confidence, the number of tokens and the time.\n",
      "  ocelli parse --model donut-base-finetuned-cord-v2 --task cord-v2 receipt.png\n"
      "  ocelli parse --model nougat-base page.png" },
    { "ask", command_ask, "MODEL IMAGE QUESTION [options]",
      "Answers a question about a picture",
      "A VisualBERT for questions chooses one of its labels. It reads regions, not\n"
      "pictures: those that its regions.json makes of IMAGE, or, with --regions, what\n"
      "a detector has made (then there is no IMAGE). --top K prints more answers, each\n"
      "with its probability. A Donut that was trained to answer (DocVQA) writes its\n"
      "answer; --task is for it alone. A ViP-LLaVA talks (see `ocelli chat`), also of\n"
      "what --box, --arrow and the other marks point at. --json adds the probabilities\n"
      "and the time.\n",
      "  ocelli ask emoji-chat examples/scenes/scene-01.png 'What is inside the red box?' "
      "--box 0,10,105,118:red\n"
      "  ocelli ask emoji-vqa examples/scenes/scene-01.png 'How many objects are there?'\n"
      "  ocelli ask emoji-vqa examples/scenes/scene-01.png 'Where is the pig?' --top 3\n"
      "  ocelli ask visualbert-vqa --regions regions.npz 'What is on the table?'\n"
      "  ocelli ask donut-base-finetuned-docvqa page.png 'When is the coffee break?'" },
    { "chat", command_chat, "MODEL [IMAGE] [options]",
      "Talks about pictures",
      "A line of standard input is a question, its answer is printed as it comes. /image\n"
      "FILE adds a picture to the next question, /undo takes the last one back, /save FILE\n"
      "writes the conversation as JSON, /quit ends it. Ctrl-C ends an answer. Options of\n"
      "`generate` are taken, but for beams. --json makes an object of every answer.\n",
      "  echo 'What is in the picture?' | ocelli chat emoji-chat "
      "examples/scenes/scene-05.png\n"
      "  printf 'What is inside the red box?\\nWhat color is the background?\\n' | ocelli chat "
      "emoji-chat examples/scenes/scene-06.png --box 140,280,235,384:red --json" },
    { "classify", command_classify, "MODEL IMAGE... --labels A,B,... [options]",
      "Says which of some labels fit a picture",
      "MODEL is a dual encoder (VisionTextDualEncoder, CLIP); it needs no training for the\n"
      "labels. Prints probabilities, the best first; --json adds the logits. --template\n"
      "makes a sentence of a label, like those that the model was trained with.\n",
      "  ocelli classify emoji-match examples/scenes/scene-01.png --labels cat,pig,key "
      "--template 'a picture of a {}'\n"
      "  ocelli classify emoji-match examples/scenes/*.png --labels dragon,peacock --top 1" },
    { "embed", command_embed, "MODEL [IMAGE...] [--text TEXT] [options]",
      "Turns pictures and texts into vectors of one space",
      "Of a dual encoder what get_image_features and get_text_features give; of a model\n"
      "that is one tower its pooled output. OUT holds image_embeds and text_embeds F32\n"
      "[inputs, width]; a bad input is reported and has no row there. Without --out a\n"
      "vector is a line of numbers. --regions writes the visual_embeds of a VisualBERT.\n",
      "  ocelli embed emoji-match examples/scenes/*.png --out scenes.safetensors\n"
      "  ocelli embed emoji-match examples/scenes/*.png --normalize --out scenes.npy\n"
      "  ocelli embed emoji-match --text 'a picture of a cat' --json\n"
      "  printf 'a cat\\na key\\n' | ocelli embed emoji-match --texts -" },
    { "inspect", command_inspect, "MODEL [options]", "Shows what is in a model folder",
      "Architecture, parameters, types, sizes, and what the folder lacks. Reads the\n"
      "headers of weight files alone.\n",
      "  ocelli inspect printed-line-ocr\n"
      "  ocelli inspect printed-line-ocr --tensors" },
    { "preprocess", command_preprocess, "MODEL IMAGE... --out OUT [options]",
      "Turns pictures into pixel values",
      "Writes pixel_values F32 [pictures, 3, height, width] as the folder's\n"
      "preprocessor_config.json asks. EXIF tags are not looked at, as in Transformers.\n"
      "A bad picture is reported and has no row in OUT.\n",
      "  ocelli preprocess printed-line-ocr examples/lines/fox.png "
      "--out pixels.safetensors" },
    { "tokenize", command_tokenize, "MODEL [TEXT...] [options]", "Turns texts into ids",
      "Prints one JSON object a text. Without TEXT, standard input has one a line.\n",
      "  ocelli tokenize printed-line-ocr 'Total: $42.50' --tokens\n"
      "  echo 'one text a line' | ocelli tokenize printed-line-ocr --offsets" },
    { "detokenize", command_detokenize, "MODEL [options]", "Turns ids into texts",
      "Standard input has one JSON array of ids a line; prints one JSON string a line.\n",
      "  echo '[2,47,76,81,72,2]' | ocelli detokenize printed-line-ocr "
      "--skip-special-tokens" },
    { "forward", command_forward, "MODEL --in IN --out OUT [options]",
      "Runs one forward pass over named tensors",
      "IN and OUT are safetensors files: the arguments and the outputs of the model's\n"
      "forward under their Transformers names.\n",
      "  ocelli forward printed-line-ocr --in tests/data/lines/forward.in.safetensors "
      "--out forward.safetensors" },
    { "generate", command_generate, "MODEL --in IN --out OUT [options]",
      "Generates ids from named tensors",
      "IN holds pixel_values and, if wanted, decoder_input_ids; for a ViP-LLaVA\n"
      "input_ids, pixel_values and attention_mask; OUT gets sequences.\n"
      "Other options are the names of Transformers' GenerationConfig with dashes, laid\n"
      "over generation_config.json: --max-new-tokens 20 --repetition-penalty 1.2\n"
      "--use-cache false --bad-words-ids '[[5],[6,7]]' ...\n",
      "  ocelli preprocess printed-line-ocr examples/lines/fox.png "
      "--out pixels.safetensors\n"
      "  ocelli generate printed-line-ocr --in pixels.safetensors --out ids.safetensors "
      "--max-new-tokens 20" },
    { "search", command_search,
      "INDEX TEXT | INDEX --image FILE | index MODEL FOLDER --out INDEX [options]",
      "Finds pictures by a text or by a picture",
      "`search index` embeds the pictures of a folder (.jpg, .png, .webp, in its folders,\n"
      "too) or those named, with a VisionTextDualEncoder. It can be ended at any moment\n"
      "and goes on from there; once done, it embeds what is new or changed and drops what\n"
      "is gone. Results are cosines, the best first.\n",
      "  ocelli search index emoji-match examples/scenes --out scenes.idx\n"
      "  ocelli search scenes.idx 'a dragon' --top 2\n"
      "  ocelli search scenes.idx --image examples/scenes/scene-06.png --json\n"
      "  ocelli search scenes.idx 'a pig and a piano' --html found.html "
      "--montage found.png" },
    { "bench", command_bench, "MODEL [IMAGE] [options]",
      "Measures how fast a model reads",
      "Medians of warm runs, one picture at a time and eight, beside what memory and\n"
      "arithmetic units of this machine reach at best. Without IMAGE a picture is\n"
      "made up, and 32 tokens are generated for it.\n",
      "  ocelli bench printed-line-ocr examples/lines/fox.png" },
    { "convert", command_convert, "IN OUT [options]",
      "Writes a model in another format, type or number of files",
      "OUT is a folder, made if missing: config, tokenizer, processor and weights. Each\n"
      "tensor goes from file to file on its own, so that a model larger than memory can\n"
      "be converted. --to bin is PyTorch's format, h5 Keras', msgpack Flax'.\n"
      "--weights-dtype int8 and int4 quantise the matrices, into safetensors that open at\n"
      "once; converted back, they are the rounded numbers.\n",
      "  ocelli convert printed-line-ocr reader --dtype f32\n"
      "  ocelli convert emoji-match shards --to bin --max-shard-size 2MB\n"
      "  ocelli convert emoji-chat small-chat --weights-dtype int4" },
    { "doctor", command_doctor, "MODEL [options]", "Says what a model folder is, and what ails it",
      "Reads all of it: files, config against weights, tokenizer and processor, ties; runs\n"
      "the tokenizer there and back, and a forward pass, whose hash one machine's kernels\n"
      "give again and again. --against compares hidden states and outputs, as `forward\n"
      "--output-hidden-states` names them, and tells the first that differs; --in has the\n"
      "arguments that they came from. The exit status is 1 if something is wrong.\n",
      "  ocelli doctor printed-line-ocr\n"
      "  ocelli doctor emoji-match --save-inputs inputs.safetensors --json" },
    { "pull", command_pull, "ORG/NAME [options]", "Downloads a model from the hub",
      "Into the Hugging Face cache, which other programs share; MODEL is then ORG/NAME.\n"
      "Fetches configs, tokenizer, processor, and weights in one format: safetensors,\n"
      "else .bin, .h5, .msgpack. What is there is not fetched again, an interrupted pull\n"
      "goes on. HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE and the\n"
      "variables of proxies have their usual meanings. Prints the folder.\n",
      "  ocelli pull microsoft/trocr-small-printed\n"
      "  ocelli pull nlpconnect/vit-gpt2-image-captioning --include '*.json' '*.txt'" },
};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* The pipeline that is several commands: which one, the model says. */
static const cli_command image_to_text = {
    "image-to-text", command_image_to_text, "IMAGE... [options]",
    "Does what read, caption or parse do, as the model is",
    "The name of a pipeline of Transformers. --task and --question are for a Donut.\n",
    "  ocelli image-to-text examples/lines/fox.png\n"
    "  ocelli image-to-text --model emoji-caption examples/scenes/scene-01.png"
};

/* Names of Transformers' pipelines that are one command each. */
static const char *const aliases[][2] = {
    { "document-question-answering", "ask" },
    { "visual-question-answering", "ask" }, { "image-text-to-text", "ask" },
    { "zero-shot-image-classification", "classify" }, { "feature-extraction", "embed" },
};

/* Part of the plan, so that a script learns "not yet" and not "never heard of". */
static const char *const planned[] = {
    "train", "serve", NULL
};

/* The largest values are OCI_LIMITS_MAP's; tests/cli/test_limits.sh compares. */
static const char limits_help[] =
    "Bounds that guard against hostile input. --limit NAME=N lowers one:\n"
    "    ocelli read --limit image_pixels=4000000 picture.png\n"
    "What is over a limit ends with exit status 6.\n\n"
    "  file_bytes         a file that is read or mapped whole\n"
    "  json_bytes         a JSON text\n"
    "  json_depth         nesting in a JSON text\n"
    "  header_bytes       a safetensors header\n"
    "  pickle_bytes       a pickle of torch.save, its tensors apart\n"
    "  tensors            tensors in a file\n"
    "  config_bytes       a config.json\n"
    "  image_bytes        an encoded image\n"
    "  image_pixels       width times height of an image\n"
    "  image_side         width or height of an image\n"
    "  image_scans        scans of a progressive JPEG\n"
    "  image_chunk_bytes  an ancillary chunk of a PNG or WebP\n"
    "  zip_entries        entries of a zip archive (.npz, .bin)\n"
    "  zip_bytes          those entries unpacked, together\n"
    "  zip_ratio          unpacked to packed, of an entry over 1 MiB\n"
    "  region_bytes       a line of a .tsv of region features\n"
    "  regions            boxes of a regions.json\n"
    "  vocab_size         tokens in a vocabulary\n"
    "  token_bytes        bytes of one token\n"
    "  text_bytes         a text to be tokenized\n"
    "  batch              rows in a batch\n"
    "  sequence           positions in a sequence";

static const cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(aliases[i][0], name) == 0) name = aliases[i][1];
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return strcmp(image_to_text.name, name) == 0 ? &image_to_text : NULL;
}

static int print_overview(cli *c)
{
    cli_print(c, "Usage: ocelli COMMAND [MODEL] [INPUT...] [options]\n\n"
                 "Runs vision-language models from Hugging Face folders. MODEL is a\n"
                 "folder, the name of a bundled model (printed-line-ocr,\n"
                 "emoji-caption, emoji-match, emoji-vqa, emoji-chat), or one in the\n"
                 "Hugging Face hub's cache, where `ocelli pull ORG/NAME` puts it.\n");
    for (size_t i = 0; i < COMMANDS; i++)
        cli_print(c, "  %-12s%s", commands[i].name, commands[i].summary);
    cli_print(c, "\n  ocelli COMMAND --help    options, and an example\n"
                 "  ocelli help limits       bounds on input, and how to lower them\n"
                 "  ocelli --version\n\n"
                 "Results go to standard output, everything else to standard error.\n"
                 "Exit status: 0 done; 1 the work failed; 2 wrong usage; 3 a file is\n"
                 "missing or unreadable; 4 malformed; 5 unsupported; 6 out of memory or\n"
                 "over a limit; 130 interrupted.\n\n"
                 "Example:\n  ocelli read examples/lines/fox.png");
    return cli_end(c);
}

static int unknown_command(cli *c, const char *name)
{
    for (size_t i = 0; planned[i]; i++) {
        if (strcmp(planned[i], name) != 0) continue;
        cli_error(c, "%s is not in this version (%s)", name, oc_version());
        return CLI_UNSUPPORTED;
    }
    const char *names[COMMANDS + 2] = { "help" };
    for (size_t i = 0; i < COMMANDS; i++) names[i + 1] = commands[i].name;
    const char *nearest = cli_nearest(name, names);
    if (name[0] == '-') return cli_usage(c, "expected a command before %s", name);
    if (nearest)
        return cli_usage(c, "unknown command %s: did you mean %s?", name, nearest);
    return cli_usage(c, "unknown command %s", name);
}

static int run(cli *c, char *name)
{
    static char help[] = "--help";
    static char *help_args[] = { help };
    if (strcmp(name, "--version") == 0) {
        cli_print(c, "ocelli %s", oc_version());
        return cli_end(c);
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 ||
        strcmp(name, "-h") == 0) {
        if (c->arg_count == 0) return print_overview(c);
        name = c->args[0];
        c->args = help_args;
        c->arg_count = 1;
        if (strcmp(name, "limits") == 0) {
            cli_print(c, "%s", limits_help);
            return cli_end(c);
        }
    }
    const cli_command *command = find_command(name);
    if (!command) return unknown_command(c, name);
    c->command = command;
    return command->run(c);
}

/* A program may be started with 0, 1 or 2 closed. The next file opened, say that of
 * --out, would get the number, and with it what is meant for the terminal. */
static void fill_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    cli c = { .args = argv + 2, .arg_count = argc > 2 ? argc - 2 : 0 };
    fill_standard_files();
    signal(SIGPIPE, SIG_IGN);           /* seen by output.c as an error of the write … */
    signal(SIGXFSZ, SIG_IGN);           /* … and a file over `ulimit -f` by file.c */
    if (argc < 2) {
        cli_usage(&c, "expected a command");
        return c.status;
    }
    int status = run(&c, argv[1]);
    cli_close(&c);
    return status;
}
