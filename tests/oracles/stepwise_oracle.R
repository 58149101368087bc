# Paths and final models of R's step() on the problems that stepwise_problems.py writes as CSV files:
#   Rscript stepwise_oracle.R FOLDER
# One line a path: problem, criterion, direction with its start, final terms, changes, AIC before and after each.
folder <- commandArgs(trailingOnly = TRUE)[1]
cat("# ", R.version.string, "\n", sep = "")
cat("# digest ", readLines(file.path(folder, "digest.txt")), "\n", sep = "")
files <- sort(list.files(folder, pattern = "\\.csv$", full.names = TRUE))
for (file in files) {
  runs <- read.csv(file)
  terms <- setdiff(names(runs), "y")
  full <- reformulate(terms, "y")
  null <- y ~ 1
  for (criterion in c("aic", "bic")) {
    k <- if (criterion == "aic") 2 else log(nrow(runs))
    ways <- list(
      forward = list(null, "forward"), backward = list(full, "backward"),
      both_null = list(null, "both"), both_full = list(full, "both")
    )
    for (way in names(ways)) {
      start <- eval(bquote(lm(.(ways[[way]][[1]]), data = runs)))
      chosen <- step(start, scope = list(lower = null, upper = full), direction = ways[[way]][[2]],
                     k = k, trace = 0)
      cat(sub("\\.csv$", "", basename(file)), criterion, way,
          paste(attr(terms(chosen), "term.labels"), collapse = ","),
          paste(gsub(" ", "", chosen$anova$Step[-1]), collapse = ","),
          paste(sprintf("%.12g", chosen$anova$AIC), collapse = ","), sep = ";")
      cat("\n")
    }
  }
}
