# Fish completion for ocelli(1).
complete -c ocelli -n __fish_use_subcommand -f -a read -d 'Text of pictures of printed lines'
complete -c ocelli -n __fish_use_subcommand -f -a caption -d 'A sentence about each picture'
complete -c ocelli -n __fish_use_subcommand -f -a parse -d 'Documents to data'
complete -c ocelli -n __fish_use_subcommand -f -a ask -d 'A question about a picture'
complete -c ocelli -n __fish_use_subcommand -f -a inspect -d 'What is in a model folder'
complete -c ocelli -n __fish_use_subcommand -f -a preprocess -d 'Pictures to pixel values'
complete -c ocelli -n __fish_use_subcommand -f -a tokenize -d 'Texts to ids'
complete -c ocelli -n __fish_use_subcommand -f -a detokenize -d 'Ids to texts'
complete -c ocelli -n __fish_use_subcommand -f -a forward -d 'One forward pass'
complete -c ocelli -n __fish_use_subcommand -f -a generate -d 'Ids from named tensors'
complete -c ocelli -n __fish_use_subcommand -f -a bench -d 'How fast a model reads'
complete -c ocelli -n __fish_use_subcommand -f -a help -d 'Of a command, or the limits'
complete -c ocelli -l limit -x -d 'NAME=N lowers a bound'
complete -c ocelli -l threads -x -d 'Threads to use'
complete -c ocelli -l isa -x -a 'auto generic avx2 avx512' -d 'Kernels to use'
complete -c ocelli -l device -x -a cpu -d 'Where to compute'
complete -c ocelli -l json -d 'One JSON object a line'
complete -c ocelli -l quiet -d 'No progress and no warnings'
complete -c ocelli -l help -d 'What the command does'
complete -c ocelli -n '__fish_seen_subcommand_from read caption parse' -l model -r -d 'The model'
complete -c ocelli -n '__fish_seen_subcommand_from read caption parse' -l with-filename
complete -c ocelli -n '__fish_seen_subcommand_from read caption parse' -l batch -x
complete -c ocelli -n '__fish_seen_subcommand_from parse ask' -l task -x -d 'What to look for'
complete -c ocelli -n '__fish_seen_subcommand_from parse' -l question -x -d 'What to ask'
complete -c ocelli -n '__fish_seen_subcommand_from inspect' -l tensors -d 'Tensor table'
complete -c ocelli -n '__fish_seen_subcommand_from preprocess forward generate' -l out -r
complete -c ocelli -n '__fish_seen_subcommand_from forward generate' -l in -r
