package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stuffed/datasets"
	"stuffed/datasets/baseline"
	"stuffed/pkg/progress"
)

func init() { commands = append(commands, dataCommand) }

// dataOptions choose a corpus and what of it is used.
type dataOptions struct {
	shard            string
	tokenizer, cache string
	splits, domains  []string
	minTokens, order int
	near             float64
}

func (o *dataOptions) filter() datasets.Filter {
	return datasets.Filter{Splits: o.splits, Domains: o.domains, MinTokens: o.minTokens, NearDuplicates: o.near}
}

// sharded is filter with the shard of --shard.
func (o *dataOptions) sharded() (datasets.Filter, error) {
	f := o.filter()
	if o.shard == "" {
		return f, nil
	}
	if n, err := fmt.Sscanf(o.shard, "%d/%d", &f.Shard, &f.Shards); n != 2 || err != nil || f.Shards < 1 || fmt.Sprintf("%d/%d", f.Shard, f.Shards) != o.shard {
		return f, fmt.Errorf("--shard is %q; give the part and their number, such as 0/8", o.shard)
	}
	return f, f.Validate()
}

func dataCommand() *cobra.Command {
	path := ""
	c := &cobra.Command{
		Use:   "data",
		Short: "Count, clean and tokenise a corpus",
		Long: `Works on the corpus that ships with the program, or with --corpus on a .jsonl, .jsonl.zst, .jsonl.xz or .txt file or a folder of such.

JSON lines need "text" and may have id, domain, split (train, valid, test), source, title and licence. Without a split, a document
belongs to test (10 %), valid (10 %) or train by the hash of its name.

The full corpus (2,000 long documents, 287 MB) is rebuilt from pinned Debian packages by datasets/full/build.sh.`,
	}
	c.PersistentFlags().StringVar(&path, "corpus", "embedded", "embedded, or the path of a file or folder")
	open := func() (*datasets.Corpus, error) {
		if path == "embedded" {
			return datasets.Embedded()
		}
		return datasets.Open(path)
	}
	c.AddCommand(dataStats(open), dataDedup(open), dataBuild(open), dataBaseline(open))
	return c
}

// corpusOpener reads the --corpus flag when a command runs.
type corpusOpener func() (*datasets.Corpus, error)

func dataStats(open corpusOpener) *cobra.Command {
	var o dataOptions
	c := &cobra.Command{
		Use:   "stats",
		Short: "Documents, bytes and tokens by domain and split",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			corpus, err := open()
			if err != nil {
				return err
			}
			t, err := openTokenizer(o.tokenizer)
			if err != nil {
				return err
			}
			rows, err := datasets.Stats(corpus, t)
			if err != nil {
				return err
			}
			return printCounts(c.OutOrStdout(), rows)
		},
	}
	c.Flags().StringVar(&o.tokenizer, "tokenizer", "bytes", "bytes, or the path of a tokenizer.json")
	return c
}

func printCounts(out io.Writer, rows []datasets.Count) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "domain\tsplit\tdocuments\tbytes\ttokens\t≥4K tokens\t≥16K\t≥64K\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Domain, r.Split, r.Documents, r.Bytes, r.Tokens, r.AtLeast[0], r.AtLeast[1], r.AtLeast[2])
	}
	return w.Flush()
}

func dataDedup(open corpusOpener) *cobra.Command {
	var o dataOptions
	c := &cobra.Command{
		Use:   "dedup",
		Short: "List exact and near copies over all splits",
		Long: `Lists documents whose text occurs twice, and those that share a word 5-gram vocabulary with another (MinHash, 128 hashes).
Of each group, a copy in test is kept rather than one in valid, and that rather than one in train.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			corpus, err := open()
			if err != nil {
				return err
			}
			copies, err := datasets.Copies(corpus, o.filter())
			if err != nil {
				return err
			}
			return printCopies(c.OutOrStdout(), copies)
		},
	}
	c.Flags().Float64Var(&o.near, "near", 0.8, "similarity from which a document is a near copy, 0.5 to 1; 0 looks for exact copies only")
	return c
}

func printCopies(out io.Writer, copies []datasets.Copy) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	exact := 0
	for _, d := range copies {
		kind := "near"
		if d.Exact {
			kind = "exact"
			exact++
		}
		fmt.Fprintf(w, "%s\t%.3f\t%s (%s)\tcopies %s (%s)\n", kind, d.Similarity, d.ID, d.Split, d.Of, d.OfSplit)
	}
	fmt.Fprintf(w, "%d exact and %d near copies\n", exact, len(copies)-exact)
	return w.Flush()
}

func dataBuild(open corpusOpener) *cobra.Command {
	var o dataOptions
	c := &cobra.Command{
		Use:   "build",
		Short: "Filter and tokenise into a cache that training maps into memory",
		Long: `Documents are tokenised in parallel; memory grows only by a few hundred bytes per document. After an interruption, the same command
resumes from at most ten seconds before it. When several processes want the same cache, one builds it and the others wait.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			corpus, err := open()
			if err != nil {
				return err
			}
			t, err := openTokenizer(o.tokenizer)
			if err != nil {
				return err
			}
			filter, err := o.sharded()
			if err != nil {
				return err
			}
			shown := progress.NewOn(os.Stderr, "tokenising", 0, "tokens")
			tokens, err := datasets.Prepare(corpus, filter, t, o.cache, func(r datasets.Report) { shown.Set(r.Tokens) })
			if err != nil {
				return err
			}
			defer tokens.Close()
			shown.Done()
			if tokens.Rebuilt != "" {
				fmt.Fprintln(c.ErrOrStderr(), "stuffed: cache built again:", tokens.Rebuilt)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s\nlongest document %d tokens, tokenizer %s, cached before: %v\n", tokens.Report, tokens.Longest(), tokens.Tokenizer, tokens.Cached)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.tokenizer, "tokenizer", "bytes", "bytes, or the path of a tokenizer.json")
	f.StringVar(&o.cache, "cache", ".cache/tokens", "folder of the cache")
	f.StringSliceVar(&o.splits, "split", []string{"train"}, "splits to keep")
	f.StringSliceVar(&o.domains, "domain", nil, "domains to keep (all)")
	f.StringVar(&o.shard, "shard", "", "only this part of the corpus, such as 0/8: each of eight nodes builds and trains on its own (data.shard, data.shards)")
	f.IntVar(&o.minTokens, "min-tokens", 0, "documents with fewer tokens are left out")
	f.Float64Var(&o.near, "near", 0, "similarity from which a document is a near copy and left out, 0.5 to 1; 0 keeps near copies")
	return c
}

func dataBaseline(open corpusOpener) *cobra.Command {
	var o dataOptions
	c := &cobra.Command{
		Use:   "baseline",
		Short: "Bits per byte of valid by bigram, n-gram and compression, learnt from train",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			corpus, err := open()
			if err != nil {
				return err
			}
			lines, err := baseline.Compare(c.Context(), corpus, o.domains, o.order)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, l := range lines {
				fmt.Fprintf(w, "%s\t%.4f bits per byte\n", l.Name, l.BitsPerByte)
			}
			return w.Flush()
		},
	}
	c.Flags().StringSliceVar(&o.domains, "domain", []string{"prose"}, "domains to use")
	c.Flags().IntVar(&o.order, "order", 5, "order of the n-gram, 1 to 7")
	return c
}
