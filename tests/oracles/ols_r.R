# Writes ols_r.csv: what R's lm and its companions say of ols_problems/*.csv (Rscript tests/oracles/ols_r.R).
# HC0-HC3 (White; MacKinnon and White 1985), VIF, PRESS and the condition indices are written out, since base R has no
# function for them; RESET and the test of lack of fit are R's anova of two nested fits.
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))
out <- file(file.path(here, "ols_r.csv"), "w")
writeLines("problem,quantity,row,column,value", out)

put <- function(problem, quantity, value) {
  value <- as.matrix(value)
  for (i in seq_len(nrow(value))) for (j in seq_len(ncol(value)))
    writeLines(sprintf("%s,%s,%d,%d,%.17g", problem, quantity, i - 1L, j - 1L, value[i, j]), out)
}

robust <- function(problem, fit, X, w) {
  e <- residuals(fit)
  h <- hatvalues(fit)
  # By QR of the rows themselves: forming X'X would leave ten digits of the condition number of indicators.csv.
  pull <- qr.coef(qr(X * sqrt(w)), diag(sqrt(w), nrow(X)))
  n <- nrow(X)
  share <- list(HC0 = 1, HC1 = n / (n - ncol(X)), HC2 = 1 / (1 - h), HC3 = 1 / (1 - h)^2)
  for (kind in names(share)) put(problem, kind, tcrossprod(pull %*% diag(e * sqrt(share[[kind]]), n)))
}

for (name in c("indicators", "small", "spread", "weighted", "origin", "origin_weighted", "repeated")) {
  d <- read.csv(file.path(here, "ols_problems", paste0(name, ".csv")))
  terms <- grep("^x", names(d), value = TRUE)
  d$w <- if (is.null(d[["w"]])) 1 else d[["w"]]
  origin <- startsWith(name, "origin")
  right <- paste(c(if (origin) "0", terms), collapse = " + ")
  fit <- lm(as.formula(paste("y ~", right)), d, weights = w)
  s <- summary(fit)
  X <- model.matrix(fit)
  put(name, "params", coef(s)[, 1]); put(name, "std_errors", coef(s)[, 2])
  put(name, "t", coef(s)[, 3]); put(name, "p", coef(s)[, 4])
  put(name, "covariance", vcov(fit)); put(name, "sigma", s$sigma)
  put(name, "r2", s$r.squared); put(name, "adjusted_r2", s$adj.r.squared)
  put(name, "f", s$fstatistic[1])
  put(name, "f_p", pf(s$fstatistic[1], s$fstatistic[2], s$fstatistic[3], lower.tail = FALSE))
  put(name, "log_likelihood", logLik(fit)); put(name, "aic", AIC(fit)); put(name, "bic", BIC(fit))
  put(name, "conf_int", confint(fit, level = 0.9))
  put(name, "residuals", residuals(fit)); put(name, "fitted", fitted(fit))
  put(name, "leverage", hatvalues(fit)); put(name, "cooks_distance", cooks.distance(fit))
  put(name, "studentised_internal", rstandard(fit)); put(name, "studentised_external", rstudent(fit))
  put(name, "dffits", dffits(fit))
  put(name, "press", sum(d$w * (residuals(fit) / (1 - hatvalues(fit)))^2))
  put(name, "mean", suppressWarnings(predict(fit, d, interval = "confidence", level = 0.9)))
  put(name, "observation", suppressWarnings(predict(fit, d, interval = "prediction", level = 0.9, weights = d$w)))
  robust(name, fit, X, d$w)
  if (!origin) {
    correlation <- cov.wt(d[terms], wt = d$w / sum(d$w), cor = TRUE)$cor
    put(name, "correlations", correlation); put(name, "vif", diag(solve(correlation)))
  }
  scaled <- X * sqrt(d$w)
  parts <- svd(sweep(scaled, 2, sqrt(colSums(scaled^2)), "/"))
  put(name, "condition_indices", parts$d[1] / parts$d)
  phi <- sweep(parts$v, 2, parts$d, "/")^2
  put(name, "proportions", t(phi / rowSums(phi)))
  d$square <- fitted(fit)^2; d$cube <- fitted(fit)^3
  wider <- lm(as.formula(paste("y ~", right, "+ square + cube")), d, weights = w)
  compared <- anova(fit, wider)
  put(name, "reset", c(compared$F[2], compared$`Pr(>F)`[2]))
  if (!is.null(d[["s"]])) {
    whole <- lm(y ~ factor(s), d, weights = w)
    compared <- anova(fit, whole)
    put(name, "lack_of_fit", c(compared$F[2], compared$`Pr(>F)`[2], compared$Df[2], compared$Res.Df[2]))
  }
}
close(out)
cat(R.version.string, "\n")
